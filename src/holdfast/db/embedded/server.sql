-- The few statements the supervisor itself sends.

-- name: identity
-- Promise: which cluster answers, so that a stranger on our port is never taken for our server.
-- Reads two settings and the control file; no table, no index.
SELECT current_setting('data_directory') AS data_directory,
       system_identifier,
       current_setting('server_version') AS version
FROM pg_control_system();

-- name: create_database
-- Promise: the database that the server's URL names; sent once, when a connection to it finds it missing.
-- Touches no table of ours.
CREATE DATABASE holdfast;

-- name: set_password
-- Promise: the password in the state file opens the server; sent in single-user mode, where no parameters exist.
-- The password is made of letters, digits, '-' and '_' only.
ALTER ROLE holdfast PASSWORD '{password}';

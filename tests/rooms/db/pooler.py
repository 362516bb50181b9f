"""A PgBouncer of the test's own, in transaction mode, in front of any database."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.waiting import eventually_sync

REMEDY = "apt-get install pgbouncer"

_CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
pool_mode = transaction
auth_type = any
default_pool_size = {pool_size}
max_client_conn = 200
server_login_retry = 0
logfile = {directory}/log
pidfile = {directory}/pid
"""


def pgbouncer_program() -> str | None:
    """Debian puts it where only root's PATH looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pooler_for(database_url: str, *, pool_size: int = 3, **options: str) -> Iterator[str]:
    """The URL of the same database through a pooler with a few server sessions."""
    program = pgbouncer_program()
    if program is None:
        message = f"these tests need PgBouncer: {REMEDY}"
        raise RuntimeError(message)
    target = urlsplit(database_url)
    listen_port = _free_port()
    directory = Path(tempfile.mkdtemp(prefix="holdfast-pgbouncer-"))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            host=target.hostname,
            port=target.port or 5432,
            user=unquote(target.username or ""),
            password=unquote(target.password or ""),
            listen_port=listen_port,
            pool_size=pool_size,
            directory=directory,
        )
        + "".join(f"{name} = {value}\n" for name, value in options.items())
    )
    command = [program, str(configuration)]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (directory, configuration):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually_sync(lambda: _answers(listen_port, process))
        yield f"postgresql://{target.username}@127.0.0.1:{listen_port}{target.path}"
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        message = f"pgbouncer ended at once with status {process.returncode}"
        raise RuntimeError(message)
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

"""One server process as the direct child of its owner: started until it answers, stopped until it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from holdfast.db.embedded.address import ServerAddress, address_of
from holdfast.db.embedded.binaries import find_binaries
from holdfast.db.embedded.cluster import Cluster, data_version, new_password, server_environment
from holdfast.db.embedded.deadline import Deadline
from holdfast.db.embedded.home import Home
from holdfast.db.embedded.ports import free_port, port_is_free
from holdfast.db.embedded.privileges import choose_account, within_reach
from holdfast.db.embedded.probe import Answer, probe
from holdfast.db.embedded.processes import before_exec, serves
from holdfast.db.embedded.state import ServerState, read_state, write_state
from holdfast.errors import EmbeddedServerError
from holdfast.telemetry import emit

Config = Mapping[str, str | int]

# Passed as -c on the command line: nothing is written into the data directory, so nothing old can linger there.
_DEFAULTS: Config = {
    "shared_buffers": "128MB",
    "max_connections": 200,
    "max_wal_size": "2GB",
    "unix_socket_permissions": "0700",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
    "cluster_name": "holdfast",
}
_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.01, 0.2
# How many times one start may find its port taken between looking and listening.
_PORT_ATTEMPTS = 10


class Postmaster:
    """A server on a home whose owner lock the caller holds."""

    def __init__(self, home: Home, *, binaries: Path | None = None, config: Config | None = None) -> None:
        self.home = home
        self._asked_binaries = binaries
        self._config: dict[str, str | int] = {**_DEFAULTS, **(config or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.state: ServerState | None = None

    @property
    def running(self) -> bool:
        """Whether our child lives; asking reaps it when it does not."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How the last child ended."""
        return None if self._process is None else self._process.poll()

    def start(self, deadline: Deadline, *, give_up: Callable[[], bool] = lambda: False) -> ServerAddress:
        """Start the server and return when it has answered a query and proved to be ours."""
        if self.running and self.state is not None:
            return address_of(self.state)
        cluster, wanted = self._prepare()
        try:
            for _ in range(_PORT_ATTEMPTS):
                state = self._attempt(cluster, wanted, deadline, give_up)
                if state is not None:
                    self.state = state
                    write_state(self.home.state, state)
                    emit(
                        "db.embedded.started",
                        pid=state.pid,
                        port=state.port,
                        version=state.version,
                        data_directory=state.data_directory,
                    )
                    return address_of(state)
                wanted = replace(wanted, port=free_port())
        except BaseException:
            self.stop(Deadline(10))
            raise
        raise EmbeddedServerError(
            f"no free port was found on 127.0.0.1 in {_PORT_ATTEMPTS} attempts",
            remedy="see which process takes ports as they become free, then start again",
        )

    def stop(self, deadline: Deadline) -> None:
        """Shut down fast and cleanly; past the deadline, hard (the next start recovers)."""
        process = self._process
        if process is None:
            return
        for harder, seconds in (
            (signal.SIGINT, deadline.remaining_seconds),
            (signal.SIGQUIT, 5.0),
            (signal.SIGKILL, 5.0),
        ):
            if process.poll() is not None:
                break
            process.send_signal(harder)
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                continue
        if self.state is not None:
            emit("db.embedded.stopped", pid=self.state.pid, data_directory=self.state.data_directory)
            self.state = None

    def kill(self) -> None:
        """End the postmaster with -9 and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _prepare(self) -> tuple[Cluster, ServerState]:
        """Everything before the process: account, programs, data, password, a port to begin with."""
        home = self.home
        home.make()
        home.trim_log()
        account = choose_account(home.data_inside, home.directory)
        data = home.data_for(account)
        programs = find_binaries(self._asked_binaries, major=data_version(data))
        cluster = Cluster(data, within_reach(programs, account), account)
        cluster.check()
        known = read_state(home.state)
        password = known.password if known else new_password()
        durable = str(self._config.get("fsync", "on")).lower() not in ("off", "false", "0")
        if not cluster.exists():
            cluster.initialise(password, durable=durable)
        elif known is None:
            _end_orphan(cluster.data, Deadline(30))
            self._wait_for_single_user(cluster, password, Deadline(15))
        state = ServerState(
            data_directory=str(data),
            socket_directory=str(home.socket_directory(account)),
            port=known.port if known else free_port(),
            pid=0,
            password=password,
            system_identifier=cluster.system_identifier(),
            version=cluster.binaries.version,
        )
        return cluster, state

    def _wait_for_single_user(self, cluster: Cluster, password: str, deadline: Deadline) -> None:
        """Set the password, waiting like a start does for what a killed server left in shared memory."""
        while True:
            try:
                cluster.set_password(password)
            except EmbeddedServerError as error:
                if "still in use" not in str(error) or deadline.passed:
                    raise
                deadline.pause(0.05)
            else:
                return

    def _attempt(
        self, cluster: Cluster, wanted: ServerState, deadline: Deadline, give_up: Callable[[], bool]
    ) -> ServerState | None:
        """Start on one port until ready; None when the port turned out to be taken."""
        password_was_set = False
        while True:
            _end_orphan(cluster.data, deadline)
            _clear_sockets(Path(wanted.socket_directory))
            if not port_is_free(wanted.port):
                return None
            log_begins = self.home.log_size()
            self._spawn(cluster, wanted)
            answer, detail, version = self._await_answer(wanted, deadline, give_up)
            if answer is Answer.OURS and self._process is not None:
                return replace(wanted, pid=self._process.pid, version=version)
            self.stop(Deadline(10))
            log = self.home.log_since(log_begins)
            if answer is Answer.WRONG_PASSWORD and not password_was_set:
                cluster.set_password(wanted.password)
                password_was_set = True
            elif "still in use" in log and not deadline.passed and not give_up():
                deadline.pause(0.05)  # the last processes of a killed server are still dying
            elif answer is Answer.STRANGER or not port_is_free(wanted.port):
                return None
            else:
                raise EmbeddedServerError(
                    f"PostgreSQL {cluster.binaries.version} did not become ready within {deadline.seconds:g} s "
                    f"in {cluster.data}: {detail or 'no answer'}\n{log.strip()[-1500:]}",
                    remedy=f"read {self.home.log}; a long recovery only needs a longer deadline",
                )

    def _spawn(self, cluster: Cluster, wanted: ServerState) -> None:
        command = [cluster.binaries.program("postgres"), "-D", str(cluster.data), "-p", str(wanted.port)]
        command += ["-k", wanted.socket_directory, "-h", "127.0.0.1"]
        for name, value in self._config.items():
            command += ["-c", f"{name}={value}"]
        log = self.home.open_log()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=server_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for the application, which then stops its server
                preexec_fn=before_exec(),  # noqa: PLW1509 (it only calls prctl and sigprocmask)
                user=cluster.account.user,
                group=cluster.account.group,
                extra_groups=cluster.account.extra_groups,
            )
        finally:
            os.close(log)

    def _await_answer(
        self, wanted: ServerState, deadline: Deadline, give_up: Callable[[], bool]
    ) -> tuple[Answer, str, str]:
        """Ask until the server answers, ends, or the time is up."""
        detail, pause_seconds = "", _POLL_SECONDS
        while self.running and not deadline.passed and not give_up():
            found = probe(wanted)
            if found.answer is not Answer.SILENT:
                return found.answer, found.detail, found.version
            detail = found.detail
            deadline.pause(pause_seconds)
            pause_seconds = min(pause_seconds * 1.2, _LONGEST_POLL_SECONDS)  # a recovery may take minutes
        if self.exit_status is not None:
            detail = f"the server ended with status {self.exit_status}"
        return Answer.SILENT, detail, ""


def _clear_sockets(directory: Path) -> None:
    """Remove sockets and their lock files, which name a pid too; the directory is ours and no server lives."""
    for left in directory.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def _end_orphan(data: Path, deadline: Deadline) -> None:
    """Deal with the pid file of an earlier server: end a living one, unmask a dead one.

    PostgreSQL takes a zombie, and any stranger with a recycled pid, for a running server. The file is not removed,
    because it also names the shared memory that processes of a killed server may still use; instead its pid
    becomes ours, which PostgreSQL knows to be its parent and hence not a server.
    """
    pid_file = data / "postmaster.pid"
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines(keepends=True)
        pid = abs(int(lines[0]))
    except (FileNotFoundError, IndexError, ValueError):
        return
    if serves(pid, data):
        os.kill(pid, signal.SIGINT)
    while serves(pid, data):
        if deadline.passed:
            raise EmbeddedServerError(
                f"a server left without its owner (pid {pid}) still runs in {data}", remedy=f"end process {pid}"
            )
        deadline.pause(_POLL_SECONDS)
    try:
        with pid_file.open("r+", encoding="utf-8") as file:
            file.write("".join([f"{os.getpid()}\n", *lines[1:]]))
            file.truncate()
    except FileNotFoundError:
        return  # a server that ended well has removed it

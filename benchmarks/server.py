"""A target's server: on cores of its own, in a folder of its own; its memory, and how long it takes to start."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.target import Request, Target

CORES = sorted(os.sched_getaffinity(0))
# With a single core, the load generator and the server share it, and ratios mean nothing.
GENERATOR_CORE = CORES[-1]
# Of the load while the operations are measured: one core serves, another one asks.
ONE_CORE = CORES[:1]

_LONGEST_START_SECONDS = 60
_LONGEST_STOP_SECONDS = 15
_POLL_SECONDS = 0.002


@contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """Run this thread and its children on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A target that runs."""

    def __init__(self, target: Target, folder: Path, cores: list[int], rounds: int) -> None:
        self.port = _free_port()
        launch = target.launch(self.port, rounds)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHQL_MFA_")}
        began = time.perf_counter()
        with pinned(cores), (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the target's own command
                launch.command,
                cwd=folder,
                env={**inherited, **launch.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(target.ready, folder)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - began

    def _wait(self, ready: Request, folder: Path) -> None:
        request = ready.encode()
        end = time.monotonic() + _LONGEST_START_SECONDS
        while not _answers(self.port, request):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The server did not start:\n{(folder / 'server.log').read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def memory(self) -> int:
        """Bytes of the process and its children, with shared pages divided among the processes (PSS)."""
        return sum(map(_proportional_set_size, _tree(self._process.pid)))

    def cpu_seconds(self) -> float:
        """Processor time of the process and its children so far."""
        return cpu_seconds(self._process.pid)

    def stop(self) -> None:
        """Ask it to end; see that it does."""
        self._process.terminate()
        try:
            self._process.wait(_LONGEST_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):  # children that outlive it
            os.killpg(self._process.pid, signal.SIGKILL)


@contextmanager
def serving(target: Target, folder: Path, cores: list[int], rounds: int) -> Iterator[Server]:
    """A server, for as long as the context lasts."""
    server = Server(target, folder, cores, rounds)
    try:
        yield server
    finally:
        server.stop()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    return sum(map(_cpu_seconds, _tree(pid)))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(port: int, request: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_START_SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(65_536).startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
    except OSError:
        return False


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
            for child in children.read_text().split():
                yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _proportional_set_size(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0

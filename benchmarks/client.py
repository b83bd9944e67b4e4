"""The load generator: keep-alive connections on httptools, which use little of their core."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httptools

from benchmarks.target import Answer, Step, UnexpectedAnswerError, User


class Connection(asyncio.Protocol):
    """One connection, for one request at a time; opened again where the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and wait for all of the answer."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[str, str]] = []
        self._body = b""
        self._answer = loop.create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(UnexpectedAnswerError(f"the connection was lost ({exc})"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Of httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """Of httptools."""
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), self._headers, self._body))


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Connections to a server. Each opens with its first request."""
    connections = [Connection(port) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


@dataclass(frozen=True)
class Sample:
    """The results of one operation that ran for some time.

    seconds: of it all. latencies: seconds of each. generator: the load generator's share of its core. server_cpu: the
    processor time that the server took, which other programs on the machine change less than the rest.
    """

    seconds: float
    latencies: list[float]
    generator: float
    server_cpu: float = 0.0


class Job:
    """An operation of one user, with its first request made beforehand; later ones need the answers."""

    def __init__(self, user: User, steps: Sequence[Step]) -> None:
        self.user = user
        self._steps = steps
        self._first = steps[0].request(user).encode()

    async def run(self, connection: Connection) -> Answer:
        """The last answer, yet to be read."""
        answer = await connection.ask(self._first)
        for before, step in itertools.pairwise(self._steps):
            before.read(self.user, answer)
            answer = await connection.ask(step.request(self.user).encode())
        return answer

    def finish(self, answer: Answer) -> None:
        """Read the last answer."""
        self._steps[-1].read(self.user, answer)


async def drive(connections: Sequence[Connection], jobs: Iterable[Job], seconds: float) -> Sample:
    """Run jobs over all connections until they or the time are over, at least one each.

    The answers are checked after the clock stopped.
    """
    left = iter(jobs)
    answers: list[tuple[Job, Answer]] = []
    latencies: list[float] = []
    cpu = time.thread_time()
    began = time.perf_counter()

    async def work(connection: Connection) -> None:
        for job in left:
            start = time.perf_counter()
            answer = await job.run(connection)
            latencies.append(time.perf_counter() - start)
            answers.append((job, answer))
            if start + latencies[-1] >= began + seconds:
                break

    await asyncio.gather(*map(work, connections))
    took = time.perf_counter() - began
    sample = Sample(took, latencies, (time.thread_time() - cpu) / took)
    for job, answer in answers:
        job.finish(answer)
    return sample


async def pace(connection: Connection, job: Job, interval: float, until: asyncio.Event) -> list[float]:
    """The latencies of one job, repeated at an interval, however long each takes."""
    latencies: list[float] = []
    while not until.is_set():
        start = time.perf_counter()
        job.finish(await job.run(connection))
        latencies.append(time.perf_counter() - start)
        await asyncio.sleep(max(0.0, start + interval - time.perf_counter()))
    return latencies

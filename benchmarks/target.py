"""The interface of a measured service: how to start it, which requests to send, and how to read the responses."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from graphql_mfa.testing import SoftwarePasskey

OperationName = Literal[
    "registerUser",
    "confirm",
    "addPasskey",
    "login",
    "verifyOtp",
    "me",
    "refreshSession",
    "beginPasskeyLogin",
    "finishPasskeyLogin",
]


class UnexpectedAnswerError(Exception):
    """A request failed; continuing would measure errors."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. `Host` and `Content-Length` are added when it is sent."""

    path: str
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes to send over a connection that is kept alive."""
        headers = {"Host": "127.0.0.1", "Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Answer:
    """A response. Header names are in lower case; `set-cookie` can occur several times."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        """The body; an UnexpectedAnswerError where it is not JSON or the status is not 2xx."""
        self.assert_success()
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnexpectedAnswerError(f"not JSON: {self.body[:200]!r}") from error

    def assert_success(self) -> None:
        """Raise an UnexpectedAnswerError unless the status is 2xx."""
        if not 200 <= self.status < 300:
            raise UnexpectedAnswerError(f"status {self.status}: {self.body[:500]!r}")

    def cookies(self) -> dict[str, str]:
        """The cookies that it sets."""
        pairs = (value.partition(";")[0].partition("=") for name, value in self.headers if name == "set-cookie")
        return {name.strip(): value.strip() for name, _, value in pairs}


@dataclass
class User:
    """A simulated user, with the values from the answers so far.

    secret: the TOTP secret in base32, which `read` of the registration sets. code: the one-time code to send, which the
    harness sets before it asks for a request of `confirm` or `verifyOtp`. state: whatever else the target has to keep
    between requests, such as a challenge, an access token, or cookies, under names of its own. last_step: the time step
    of the last code, kept by the harness. passkey: the user's authenticator, at http://localhost:8000.
    """

    name: str
    password: str
    secret: str = ""
    code: str = ""
    state: dict[str, str] = field(default_factory=dict)
    last_step: int = 0
    passkey: SoftwarePasskey = field(default_factory=SoftwarePasskey)

    @property
    def email(self) -> str:
        """For services that want one."""
        return f"{self.name}@example.com"


@dataclass(frozen=True)
class Step:
    """One request of an operation.

    request: makes it for a user. read: stores the values of the answer that later requests need; it raises
    UnexpectedAnswerError unless the answer is the expected success, which is more than its status: a token that is
    missing, or a signed-in user of another name, is a failure too.
    """

    request: Callable[[User], Request]
    read: Callable[[User, Answer], None]


@dataclass(frozen=True)
class Launch:
    """How a server is started: in an empty folder of its own, which is its working directory, or again in the same."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Target(Protocol):
    """A service to measure.

    name: short, for the command line and the table. description: for the table, with the version that was measured.
    hashes: whether login hashes the password, with bcrypt at the cost that it is started with.
    codes_once: whether a one-time code is accepted once. Where it is, the service must accept the codes of the steps
    before, at and after the present one: the harness confirms with the first, and verifies with the others. Elsewhere
    it sends the present one.
    operations: for each, the requests that it takes, one after the other on one connection; it is timed as a whole. One
    that the service does not have is left out, and has a dash in the table. `confirm` is not timed: what it takes after
    `registerUser` until `login` asks for a code. After `login` and `verifyOtp` the user is signed in, for `me` and
    `refreshSession`, each of which is run several times for one user. `addPasskey` of a user who is signed in, and
    `beginPasskeyLogin`, are not timed either; `finishPasskeyLogin` then signs in without a password.
    ready: a request that is answered with 2xx once the service can do its work.
    """

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def hashes(self) -> bool: ...
    @property
    def codes_once(self) -> bool: ...
    @property
    def operations(self) -> Mapping[OperationName, Sequence[Step]]: ...
    @property
    def ready(self) -> Request: ...

    def install(self) -> None:
        """Install the dependencies of the service; returns at once if they are installed."""

    def launch(self, port: int, rounds: int) -> Launch:
        """Serve at 127.0.0.1 and this port, with that cost of bcrypt (log2 of the rounds), and no limit on attempts.

        The command's first process is the one that is stopped, by SIGTERM; it may have children. What has to be done
        before the first start in a folder, such as migrations, is done by `prepare`.
        """

    def prepare(self, folder: Path) -> None:
        """Prepare a new folder before the server starts there, for example by migrations; not timed."""

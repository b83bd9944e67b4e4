"""What happens inside of a deployment, told as it happens, so that only metrics know how it is counted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar

T = TypeVar("T")
C = TypeVar("C")

Transaction = Callable[[C], T]


class Observer:
    """Nobody listens. Metrics do, and override all of it; hashing jobs and transactions tell it from their threads."""

    def request_began(self) -> None:
        """A request to the GraphQL endpoint is here."""

    def request_answered(self, kind: str | None, outcomes: Sequence[str], status: int, seconds: float) -> None:
        """It has an answer. kind: of its operation, None when none ran. outcomes: as in "login=OtpRequired"."""

    def request_ended(self) -> None:
        """It is over, with or without an answer."""

    def unexpected_error(self) -> None:
        """An error is masked for a client."""

    def hashing_place_taken(self) -> None:
        """A login, registration or new password took a slot before the hashing threads."""

    def hashing_place_left(self) -> None:
        """It left the slot."""

    def hashing_place_refused(self) -> None:
        """One found no free slot, or was displaced from its slot."""

    def hashing_began(self) -> None:
        """A thread is busy."""

    def hashing_ended(self, seconds: float) -> None:
        """It is free again."""

    @contextmanager
    def transaction(self, kind: Literal["read", "write"]) -> Iterator[Callable[[Transaction[C, T]], Transaction[C, T]]]:  # noqa: ARG002
        """One transaction, its tries included. What it gives marks where waiting for a connection ends."""
        yield lambda transaction: transaction

    def purged(self, rows: Mapping[str, int], now: datetime) -> None:
        """All that had expired is deleted. rows: how many, by table."""

    def purge_failed(self) -> None:
        """Something that has expired may still be there."""

    def events_waiting(self, sink: str, count: int) -> None:
        """So many security events, up to some thousand, wait to be delivered to that sink, or for a further try."""

    def event_delivered(self, sink: str) -> None:
        """It was told of one."""

    def event_delivery_failed(self, sink: str) -> None:
        """A try to tell it of one failed."""

    def event_given_up(self, sink: str) -> None:
        """It was the last one: the event stays undelivered until an operator takes it up again."""


NOBODY = Observer()

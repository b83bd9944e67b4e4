"""A clock that tests move, and the bound of real time."""

from datetime import UTC, datetime, timedelta

WAIT = 60  # seconds, a bound that is only reached when something is broken


class Clock:
    """Stands at an instant until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)  # ten seconds into a time step

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

"""A clock that tests move."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Stands at an instant until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)  # ten seconds into a time step

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

"""Arithmetic of rate limits: how many attempts are allowed, and how long to wait after them."""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_MOST_ATTEMPTS = 1_000_000_000
_LONGEST_WINDOW = timedelta(days=366)


class Rate(NamedTuple):
    """Attempts in a window, written as `10/5m`."""

    attempts: int
    window: timedelta

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """A number of attempts and a window in s, m, h or d. Raises ValueError."""
        if found := re.fullmatch(r"([0-9]{1,10})/([0-9]{1,8})([smhd])", text):
            attempts, window = int(found[1]), timedelta(seconds=int(found[2]) * _UNITS[found[3]])
            if 0 < attempts <= _MOST_ATTEMPTS and timedelta(0) < window <= _LONGEST_WINDOW:
                return cls(attempts, window)
        raise ValueError(
            f"should be attempts and a window, as in 10/5m: 1 to {_MOST_ATTEMPTS} attempts, and a window of at most "
            f"{_LONGEST_WINDOW.days} days in s, m, h or d"
        )

    def __str__(self) -> str:
        seconds = int(self.window.total_seconds())
        unit = next(unit for unit, length in _UNITS.items() if seconds % length == 0)
        return f"{self.attempts}/{seconds // _UNITS[unit]}{unit}"


@dataclass(frozen=True)
class Backoff:
    """Waits that double from the first to the longest."""

    first: timedelta
    longest: timedelta

    def wait(self, doublings: int) -> timedelta:
        """The wait after this number of doublings, however large: the exponent is bounded, so nothing overflows."""
        seconds = self.first.total_seconds() * 2.0 ** min(doublings, 64)
        return timedelta(seconds=min(seconds, self.longest.total_seconds()))


@dataclass(frozen=True)
class Limit:
    """Attempts allowed in a window. Beyond them none until it ends or, with a back-off, one after each wait.

    counts_successes: whether a successful attempt stays counted. new_addresses: whether all addresses that are new to
    an account share the limit.
    """

    attempts: int
    window: timedelta
    backoff: Backoff | None = None
    counts_successes: bool = False
    new_addresses: bool = False


@dataclass(frozen=True)
class Refusal:
    """How long to wait, and the limit that requires it; of several limits the one with the longest wait."""

    wait: timedelta
    limit: Limit


@dataclass(frozen=True)
class Usage:
    """Attempts in the current window of a limit, when that window ends, and until when to wait."""

    attempts: int = 0
    window_ends_at: datetime | None = None
    blocked_until: datetime | None = None


def reserve(limit: Limit, usage: Usage, now: datetime) -> Usage | timedelta:
    """Count one attempt, and return the new usage; or, if it is not allowed, return how long to wait."""
    if usage.blocked_until is not None and now < usage.blocked_until:
        return usage.blocked_until - now
    if usage.window_ends_at is not None and now < usage.window_ends_at:
        window_ends_at, attempts = usage.window_ends_at, usage.attempts + 1
    else:
        window_ends_at, attempts = now + limit.window, 1
    if limit.backoff is None:
        return Usage(attempts, window_ends_at) if attempts <= limit.attempts else window_ends_at - now
    if attempts < limit.attempts:
        return Usage(attempts, window_ends_at)
    blocked_until = now + limit.backoff.wait(attempts - limit.attempts)
    # The window outlasts the wait; otherwise waiting it out would restart the doubling.
    return Usage(attempts, max(window_ends_at, blocked_until + limit.window), blocked_until)


def seconds(wait: timedelta) -> int:
    """A wait in whole seconds, rounded up, at least 1: the value of `retryAfter`."""
    return max(1, math.ceil(wait.total_seconds()))

"""The arithmetic of limits: how many attempts, then how long to wait."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Backoff:
    """Waits that double from the first to the longest."""

    first: timedelta
    longest: timedelta

    def wait(self, doublings: int) -> timedelta:
        """The wait after so many doublings; in floats of bounded exponent, so that no number of them overflows."""
        seconds = self.first.total_seconds() * 2.0 ** min(doublings, 64)
        return timedelta(seconds=min(seconds, self.longest.total_seconds()))


@dataclass(frozen=True)
class Limit:
    """So many attempts in a window; beyond them none until it ends or, with a back-off, one after each wait.

    counts_successes: whether an attempt stays counted when it turns out to be right. new_addresses: whether it is
    shared by all addresses that are new to an account.
    """

    attempts: int
    window: timedelta
    backoff: Backoff | None = None
    counts_successes: bool = False
    new_addresses: bool = False


@dataclass(frozen=True)
class Refusal:
    """How long to wait, and the limit that makes the wait; of several the one that makes the longest."""

    wait: timedelta
    limit: Limit


@dataclass(frozen=True)
class Usage:
    """What was used of a limit: attempts in the current window, when it ends, and until when to wait."""

    attempts: int = 0
    window_ends_at: datetime | None = None
    blocked_until: datetime | None = None


def reserve(limit: Limit, usage: Usage, now: datetime) -> Usage | timedelta:
    """Count one attempt; or, when it is not allowed, say how long to wait, with nothing counted."""
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
    # The window outlasts the wait; otherwise waiting it out would start the doubling afresh.
    return Usage(attempts, max(window_ends_at, blocked_until + limit.window), blocked_until)


def seconds(wait: timedelta) -> int:
    """A wait in whole seconds, rounded up, at least 1: what `retryAfter` says."""
    return max(1, math.ceil(wait.total_seconds()))

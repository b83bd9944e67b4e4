from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.throttling import Backoff, Limit, Usage, reserve, seconds

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)
BACKOFF = Backoff(SECOND, 8 * SECOND)
WINDOW = 60 * SECOND

durations = st.timedeltas(SECOND, timedelta(days=30))
backoffs = st.tuples(durations, durations).map(lambda pair: Backoff(min(pair), max(pair)))
limits = st.builds(Limit, st.integers(1, 20), durations, st.none() | backoffs)
gaps = st.lists(st.timedeltas(timedelta(0), timedelta(days=2)), max_size=60)


def allow(limit: Limit, usage: Usage, now: datetime) -> Usage:
    result = reserve(limit, usage, now)
    assert isinstance(result, Usage), result
    return result


def refuse(limit: Limit, usage: Usage, now: datetime) -> timedelta:
    result = reserve(limit, usage, now)
    assert isinstance(result, timedelta), result
    return result


def attempts_with_the_waits_between(limit: Limit, attempts: int) -> list[timedelta]:
    """Make attempts as soon as they are allowed; return the wait after each."""
    usage, now, waits = Usage(), START, []
    for _ in range(attempts):
        usage = allow(limit, usage, now)
        again = reserve(limit, usage, now)
        wait = again if isinstance(again, timedelta) else timedelta(0)
        waits.append(wait)
        now += wait
    return waits


@pytest.mark.parametrize(
    ("doublings", "wait"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8), (40, 8), (41, 8), (10_000, 8), (10**18, 8)]
)
def test_a_wait_doubles_up_to_the_longest(doublings: int, wait: int) -> None:
    assert BACKOFF.wait(doublings) == wait * SECOND


@pytest.mark.parametrize("first", [60, 120, 86_400])
@pytest.mark.parametrize("doublings", [40, 10**18])
def test_a_huge_count_of_failures_does_not_overflow(first: int, doublings: int) -> None:
    assert Backoff(first * SECOND, timedelta(days=1)).wait(doublings) == timedelta(days=1)


@given(backoffs, st.integers(0, 200))
def test_a_wait_lies_between_the_first_and_the_longest_and_never_shrinks(backoff: Backoff, doublings: int) -> None:
    assert backoff.first <= backoff.wait(doublings) <= backoff.longest
    assert backoff.wait(doublings) <= backoff.wait(doublings + 1)


def test_without_a_backoff_the_attempts_of_a_window_are_allowed_and_no_more() -> None:
    limit, usage = Limit(3, WINDOW), Usage()
    for second in range(3):
        usage = allow(limit, usage, START + second * SECOND)
    assert refuse(limit, usage, START + 3 * SECOND) == 57 * SECOND
    assert refuse(limit, usage, START + WINDOW - INSTANT) == INSTANT
    assert allow(limit, usage, START + WINDOW).attempts == 1


def test_with_a_backoff_each_attempt_from_the_last_free_one_doubles_the_wait() -> None:
    waits = attempts_with_the_waits_between(Limit(3, WINDOW, BACKOFF), 8)
    assert waits == [wait * SECOND for wait in (0, 0, 1, 2, 4, 8, 8, 8)]


def test_waits_longer_than_the_window_double_as_well() -> None:
    waits = attempts_with_the_waits_between(Limit(1, SECOND, Backoff(60 * SECOND, 3600 * SECOND)), 8)
    assert waits == [wait * 60 * SECOND for wait in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_doubling_restarts_only_after_a_window_without_attempts() -> None:
    limit = Limit(1, WINDOW, BACKOFF)
    usage = allow(limit, allow(limit, Usage(), START), START + SECOND)  # the second one waits 2 seconds
    quiet = START + 3 * SECOND + WINDOW
    assert allow(limit, usage, quiet - INSTANT).blocked_until == quiet - INSTANT + 4 * SECOND
    assert allow(limit, usage, quiet).blocked_until == quiet + SECOND


@given(limits, gaps)
def test_a_refusal_is_not_counted_and_ends_exactly_after_its_wait(limit: Limit, pauses: list[timedelta]) -> None:
    usage, now = Usage(), START
    for pause in pauses:
        now += pause
        result = reserve(limit, usage, now)
        if isinstance(result, timedelta):
            assert result > timedelta(0)
            assert refuse(limit, usage, now + result - INSTANT) == INSTANT
            usage = allow(limit, usage, now + result)
            now += result
        else:
            usage = result


@given(limits, gaps)
def test_no_window_has_more_attempts_than_allowed_without_a_wait(limit: Limit, pauses: list[timedelta]) -> None:
    usage, now, opened, in_window = Usage(), START, START, 0
    for pause in pauses:
        now += pause
        result = reserve(limit, usage, now)
        if isinstance(result, Usage):
            if in_window == 0 or now >= opened + limit.window:
                opened, in_window = now, 0
            in_window += 1
            usage = result
            if in_window > limit.attempts:
                assert limit.backoff is not None
            if in_window >= limit.attempts and limit.backoff is not None:
                assert refuse(limit, usage, now) >= limit.backoff.first


def test_a_huge_count_of_attempts_gives_the_longest_wait() -> None:
    usage = Usage(10**18, START + WINDOW, START)
    assert allow(Limit(3, WINDOW, BACKOFF), usage, START).blocked_until == START + 8 * SECOND
    assert refuse(Limit(3, WINDOW), usage, START) == WINDOW


@pytest.mark.parametrize(
    ("wait", "rounded"),
    [(-5, 1), (0, 1), (0.000001, 1), (0.5, 1), (1, 1), (1.000001, 2), (59.5, 60), (60, 60), (3600, 3600)],
)
def test_a_wait_is_rounded_up_to_whole_seconds_and_at_least_one(wait: float, rounded: int) -> None:
    assert seconds(timedelta(seconds=wait)) == rounded


@given(st.timedeltas(timedelta(0), timedelta(days=3650)))
def test_an_attempt_after_the_reported_wait_is_allowed(wait: timedelta) -> None:
    assert timedelta(seconds=seconds(wait)) >= wait
    assert timedelta(seconds=seconds(wait) - 1) <= wait

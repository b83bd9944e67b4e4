"""Attack: fill the store, or make others wait, by refreshing and signing in without end with an account."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, select, update

from graphql_mfa.core.tokens import Purpose, digest, first_refresh_token
from graphql_mfa.services import Services
from graphql_mfa.store.models import SessionRow, UsedRefreshTokenRow
from tests.api_client import Api, Member
from tests.clock import Clock
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds, scalar, sessions_of
from tests.store import rows

pytestmark = on_each_engine

REFRESHES = 120
WINDOW = 600
SESSIONS = 100


async def refresh(api: Api, token: str) -> str:
    answer = await api.refresh(token)
    assert answer["__typename"] == "SignedIn", answer
    new: str = answer["tokens"]["refreshToken"]
    return new


# ------------------------------------------------------------------------------------------------- one session


async def test_refreshes_of_a_session_are_limited_and_leave_no_rows(api: Api, services: Services, clock: Clock) -> None:
    token = (await api.member()).refresh_token
    for _ in range(REFRESHES):
        token = await refresh(api, token)

    refused = await api.refresh(token)
    assert (refused["__typename"], refused["retryAfter"]) == ("RateLimited", WINDOW)
    assert await scalar(services, "SELECT count(*) FROM mfa_used_refresh_tokens") == 0
    clock.advance(WINDOW)
    await refresh(api, token)


async def test_the_limit_of_a_session_does_not_apply_to_others(api: Api) -> None:
    member = await api.member()
    other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    token = member.refresh_token
    for _ in range(REFRESHES):
        token = await refresh(api, token)

    await refresh(api, other["tokens"]["refreshToken"])


async def test_repeating_the_last_refresh_is_not_counted(api: Api) -> None:
    token = (await api.member()).refresh_token
    for _ in range(REFRESHES - 1):
        token = await refresh(api, token)
    answers = await at_once(api.refresh(token) for _ in range(10))

    assert kinds(answers) == {"SignedIn": 10}
    assert len({answer["tokens"]["refreshToken"] for answer in answers}) == 1


async def test_repeating_an_old_refresh_is_counted(api: Api, clock: Clock) -> None:
    token, key = (await api.member()).refresh_token, "k" * 16
    await api.refresh(token, key)
    clock.advance(60)
    answers = [await api.refresh(token, key) for _ in range(REFRESHES)]

    assert kinds(answers) == {"SignedIn": REFRESHES - 1, "RateLimited": 1}
    clock.advance(WINDOW)
    assert (await api.refresh(token, key))["__typename"] == "SignedIn"


# ---------------------------------------------------------------------------------------------- many sessions


async def add_sessions(services: Services, member: Member, clock: Clock, number: int) -> list[UUID]:
    """Sessions of n other browsers, least recently used first, all older than the member's own."""
    user = UUID(member.session["user"]["id"])

    def add(connection: Connection) -> list[UUID]:
        return [
            rows.add_session(
                connection,
                user,
                refreshed_at=clock() - timedelta(seconds=1000 - place),
                expires_at=clock() + timedelta(hours=1),
            )
            for place in range(number)
        ]

    return await services.database.write(add)


async def test_a_session_beyond_the_maximum_ends_the_least_recently_used(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    oldest, *_ = await add_sessions(services, member, clock, SESSIONS - 1)
    assert await sessions_of(services) == SESSIONS

    answer = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])

    assert await sessions_of(services) == SESSIONS
    left = await services.database.read(lambda connection: set(connection.scalars(select(SessionRow.id))))
    assert oldest not in left
    assert await api.me(member.access_token) is not None
    assert await api.me(answer["tokens"]["accessToken"]) is not None


async def test_parallel_sign_ins_do_not_exceed_the_maximum_of_sessions(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    await add_sessions(services, member, clock, SESSIONS - 3)
    challenges = [await api.challenge() for _ in range(5)]

    answers = await at_once(
        api.verify_recovery_code(challenge, code)
        for challenge, code in zip(challenges, member.recovery_codes, strict=False)
    )

    assert kinds(answers) == {"SignedIn": 5}
    assert await sessions_of(services) == SESSIONS


# ------------------------------------------------------------------------- sessions of earlier releases


async def session_of_an_earlier_release(api: Api, services: Services, clock: Clock) -> list[str]:
    """Its tokens so far, the current one last: no two have a common half, and each used one has a row."""
    tokens = [(await api.member()).refresh_token, first_refresh_token(), first_refresh_token()]
    *used, current = (digest(Purpose.REFRESH_TOKEN, token) for token in tokens)

    def as_before(connection: Connection) -> None:
        columns = {"refresh_digest": current, "family_digest": None, "generation": len(used), "refreshed_at": clock()}
        session = connection.scalar(update(SessionRow).values(columns).returning(SessionRow.id))
        traded_in = [{"digest": token, "session_id": session, "generation": place} for place, token in enumerate(used)]
        connection.execute(insert(UsedRefreshTokenRow), traded_in)

    clock.advance(60)
    await services.database.write(as_before)
    return tokens


async def test_a_session_of_an_earlier_release_continues(api: Api, services: Services, clock: Clock) -> None:
    *used, token = await session_of_an_earlier_release(api, services, clock)

    for _ in range(5):
        clock.advance(60)
        before, token = token, await refresh(api, token)
        assert await refresh(api, before) == token, "the answer was lost"

    assert await scalar(services, "SELECT count(*) FROM mfa_used_refresh_tokens") == len(used)


@pytest.mark.parametrize(
    ("used", "refreshes"),
    [
        pytest.param(0, 0, id="used before, not refreshed since"),
        pytest.param(0, 2, id="used before, refreshed since"),
        pytest.param(2, 2, id="current at the upgrade"),
        pytest.param(3, 2, id="issued after it"),
    ],
)
async def test_a_token_used_again_after_the_upgrade_ends_its_session(
    api: Api, services: Services, clock: Clock, used: int, refreshes: int
) -> None:
    tokens = await session_of_an_earlier_release(api, services, clock)
    for _ in range(refreshes):
        tokens.append(await refresh(api, tokens[-1]))
    clock.advance(60)

    assert (await api.refresh(tokens[used]))["__typename"] == "SessionExpired"
    assert await sessions_of(services) == 0

"""Attack: fill the store, or make others wait, by refreshing and signing in without end with an account."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, select, update

from graphql_mfa.core.refresh_tokens import next_refresh_token_without_family
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.flows.services import Services
from graphql_mfa.store.models import Session, UsedRefreshToken
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


async def test_another_session_is_not_limited_by_that(api: Api) -> None:
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


# ---------------------------------------------------------------------------------------------- many sessions


async def add_sessions(services: Services, member: Member, clock: Clock, number: int) -> list[UUID]:
    """Sessions as those of so many other browsers, the one used least recently first; all before the member's own."""
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


async def test_the_session_used_least_recently_ends_when_another_one_would_be_too_many(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    oldest, *_ = await add_sessions(services, member, clock, SESSIONS - 1)
    assert await sessions_of(services) == SESSIONS

    answer = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])

    assert await sessions_of(services) == SESSIONS
    left = await services.database.read(lambda connection: set(connection.scalars(select(Session.id))))
    assert oldest not in left
    assert await api.me(member.access_token) is not None
    assert await api.me(answer["tokens"]["accessToken"]) is not None


async def test_sign_ins_at_once_leave_no_more_sessions_than_there_may_be(
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


# ------------------------------------------------------------------------- replicas and sessions of earlier versions


async def refresh_as_before(services: Services, token: str, clock: Clock) -> str:
    """What a replica of an earlier version does with a current token."""
    successor = next_refresh_token_without_family(services.key_ring.current, token)
    old, new = (digest(Purpose.REFRESH_TOKEN, text) for text in (token, successor))

    def rotate(connection: Connection) -> None:
        session = connection.execute(select(Session.id, Session.generation).where(Session.refresh_digest == old)).one()
        connection.execute(
            update(Session)
            .where(Session.id == session.id)
            .values(refresh_digest=new, generation=session.generation + 1, refreshed_at=clock())
        )
        used = {"digest": old, "session_id": session.id, "generation": session.generation}
        connection.execute(insert(UsedRefreshToken).values(used))

    await services.database.write(rotate)
    return successor


async def session_of_an_earlier_version(api: Api, services: Services, clock: Clock) -> list[str]:
    """Its tokens so far, the current one last."""
    tokens = [(await api.member()).refresh_token]
    await services.database.write(lambda connection: connection.execute(update(Session).values(family_digest=None)))
    for _ in range(2):
        clock.advance(60)
        tokens.append(await refresh_as_before(services, tokens[-1], clock))
    return tokens


async def test_a_session_of_an_earlier_version_goes_on(api: Api, services: Services, clock: Clock) -> None:
    *_, used, token = await session_of_an_earlier_version(api, services, clock)
    assert await refresh(api, used) == token, "the answer was lost while the server was upgraded"
    before = await scalar(services, "SELECT count(*) FROM mfa_used_refresh_tokens")

    for _ in range(5):
        clock.advance(60)
        token = await refresh(api, token)

    assert await scalar(services, "SELECT count(*) FROM mfa_used_refresh_tokens") == before


@pytest.mark.parametrize("used", [0, 2, 3], ids=["used before", "current at", "issued after"])
async def test_a_token_used_again_after_the_upgrade_ends_its_session(
    api: Api, services: Services, clock: Clock, used: int
) -> None:
    tokens = await session_of_an_earlier_version(api, services, clock)
    for _ in range(2):
        tokens.append(await refresh(api, tokens[-1]))
    clock.advance(60)

    assert (await api.refresh(tokens[used]))["__typename"] == "SessionExpired"
    assert await sessions_of(services) == 0


async def test_replicas_of_two_versions_take_turns_at_a_session(api: Api, services: Services, clock: Clock) -> None:
    tokens = [(await api.member()).refresh_token]
    for _ in range(3):
        tokens.append(await refresh(api, tokens[-1]))
        tokens.append(await refresh_as_before(services, tokens[-1], clock))
        assert await refresh(api, tokens[-2]) == tokens[-1], "a repeated refresh may reach the other replica"
    clock.advance(60)

    assert (await api.refresh(tokens[0]))["__typename"] == "SessionExpired"
    assert await sessions_of(services) == 0

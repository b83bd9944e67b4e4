"""Race: get in, or leave something behind, while an operator ends the account."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from passlib.hash import bcrypt
from sqlalchemy import func, select

from graphql_mfa.flows import operators
from graphql_mfa.flows.user_import import Imported, Refused, import_users
from graphql_mfa.services import Services
from graphql_mfa.store.models import Base
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds

pytestmark = on_each_engine

Act = Callable[[Services], Awaitable[object]]
ROUNDS = 8


@pytest.fixture(params=["disable", "delete"])
def end(request: pytest.FixtureRequest) -> Act:
    """The operator's action on alice's account."""
    if request.param == "disable":
        return lambda operator: operators.disable(operator, "alice")
    return lambda operator: operators.delete(operator, "alice")


async def rows_of_tables(services: Services) -> dict[str, int]:
    """How many rows there are in each table."""
    return await services.database.read(
        lambda connection: {
            name: connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }
    )


async def test_race_of_a_sign_in_against_the_end_of_the_account(
    api: Api, services: Services, operator: Services, clock: Clock, end: Act
) -> None:
    """Whichever comes first: afterwards no session and no challenge is there."""
    member = await api.member()
    challenges = [await api.challenge() for _ in range(ROUNDS)]
    answers = [
        api.verify_otp(challenge, code_at(member.secret, clock(), number % 2))
        for number, challenge in enumerate(challenges)
    ]
    outcomes, ended = await asyncio.gather(at_once([*answers, api.login()]), end(operator))

    assert ended
    assert {outcome["__typename"] for outcome in outcomes} <= {
        *("SignedIn", "OtpAlreadyUsed", "InvalidOtp", "ChallengeExpired", "OtpRequired", "InvalidCredentials"),
    }
    left = await rows_of_tables(services)
    assert (left["mfa_sessions"], left["mfa_used_refresh_tokens"], left["mfa_challenges"]) == (0, 0, 0)
    assert await api.me(member.access_token) is None


async def test_race_of_a_refresh_against_the_end_of_the_account(
    api: Api, services: Services, operator: Services, end: Act
) -> None:
    member = await api.member()
    refreshed, ended = await asyncio.gather(api.refresh(member.refresh_token), end(operator))

    assert ended
    left = await rows_of_tables(services)
    assert (left["mfa_sessions"], left["mfa_used_refresh_tokens"]) == (0, 0)
    if refreshed["__typename"] == "SignedIn":
        assert await api.me(refreshed["tokens"]["accessToken"]) is None


async def test_race_of_a_password_against_the_end_of_the_account(
    api: Api, services: Services, operator: Services, end: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that was right while it was hashed opens nothing when the account ended meanwhile."""
    await api.member()
    run = services.hashing.run

    async def run_while_the_operator_acts(*arguments: object, **named: object) -> object:
        await end(operator)
        return await run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(services.hashing, "run", run_while_the_operator_acts)
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await rows_of_tables(services))["mfa_challenges"] == 0


async def test_race_of_registrations_against_the_deletion_of_the_name(
    api: Api, services: Services, operator: Services, clock: Clock
) -> None:
    """The name can't be registered in between: it belongs to the account until it is reserved."""
    await api.member()
    outcomes, deleted = await asyncio.gather(
        at_once(api.register() for _ in range(ROUNDS)), operators.delete(operator, "alice")
    )
    assert deleted
    assert kinds(outcomes) == {"UsernameTaken": ROUNDS}
    assert (await rows_of_tables(services))["mfa_users"] == 0


async def test_race_of_an_import_against_the_deletion_of_the_name(
    api: Api, services: Services, operator: Services, clock: Clock
) -> None:
    await api.member()
    line = json.dumps({"username": "alice", "passwordHash": bcrypt.using(rounds=4).hash("older horse older staple")})

    async def import_once() -> list[Imported | Refused]:
        outcomes = import_users(services, [line])
        return [outcome async for outcome in outcomes]

    deletion = operators.delete(operator, "alice")
    deleted, imports = await asyncio.gather(deletion, asyncio.gather(*(import_once() for _ in range(ROUNDS))))
    assert deleted
    assert [type(outcome) for outcomes in imports for outcome in outcomes] == [Refused] * ROUNDS
    assert (await rows_of_tables(services))["mfa_users"] == 0

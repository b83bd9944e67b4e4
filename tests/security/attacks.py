"""Helpers for attacks: parallel requests, names, wrong answers, queries of the store, a client of a real server."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

import httpx
from sqlalchemy import text

from graphql_mfa.core.tokens import Purpose, digest
from graphql_mfa.services import Services
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock

WRONG_PASSWORD = "wrong battery horse staple"
FULLWIDTH_ALICE = "\uff41\uff4c\uff49\uff43\uff45"
NO_RECOVERY_CODE = "0000-0000-0000-0000-0000-0000"


class WallClock(Clock):
    """The time of a real server. It can't be moved: take the codes of later steps instead."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> NoReturn:
        raise AssertionError(f"nobody moves this clock, not even by {seconds} s")


def real_api(http: httpx.AsyncClient) -> Api:
    """A client of a real server."""
    return Api(http, WallClock())


async def at_once(attempts: Iterable[Awaitable[Result]]) -> list[Result]:
    """All of them in parallel."""
    return list(await asyncio.gather(*attempts))


def kinds(results: Iterable[Result]) -> Counter[str]:
    """How often each type was answered."""
    return Counter(result["__typename"] for result in results)


async def scalar(services: Services, sql: str, **parameters: object) -> Any:
    """The one value of a query."""
    return await services.database.read(lambda connection: connection.execute(text(sql), parameters).scalar_one())


async def execute(services: Services, sql: str, **parameters: object) -> None:
    """Change the store behind the server's back, as an operator would."""
    await services.database.write(lambda connection: connection.execute(text(sql), parameters))


async def sessions_of(services: Services, username: str = "alice") -> int:
    """Sessions that the account has."""
    sql = "SELECT count(*) FROM mfa_sessions JOIN mfa_users ON mfa_users.id = user_id WHERE username = :username"
    count: int = await scalar(services, sql, username=username)
    return count


async def attempts_counted(services: Services) -> int:
    """Answers counted on all open challenges together."""
    count: int = await scalar(services, "SELECT coalesce(sum(attempts), 0) FROM mfa_challenges")
    return count


async def attempts_on(services: Services, challenge: Result) -> int:
    """Answers counted on that challenge."""
    key = digest(Purpose.CHALLENGE, challenge["token"])
    count: int = await scalar(services, "SELECT attempts FROM mfa_challenges WHERE digest = :digest", digest=key)
    return count


async def failures_counted(services: Services) -> int:
    """The number of recorded wrong codes of all accounts."""
    count: int = await scalar(services, "SELECT count(*) FROM mfa_otp_failures")
    return count


async def guess(api: Api, secret: str, challenge: Result | None = None) -> Result:
    """Send a wrong code for alice, by default for a new challenge."""
    return await api.verify_otp(challenge or await api.challenge(), wrong_code(secret, api.clock()))


async def real_member(api: Api, username: str) -> Member:
    """Register and confirm a user of a real server. The code of the next time step is a new one, and accepted."""
    registered = await api.register(username)
    assert registered["__typename"] == "RegisterUserSuccess", registered
    secret = registered["enrollment"]["secret"]
    confirmed = await api.verify_otp(registered["challenge"], code_at(secret, api.clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed", confirmed
    return Member(username, secret, confirmed["recoveryCodes"], confirmed)


async def events_of(services: Services, username: str = "alice") -> Counter[str]:
    """The kinds of events of the account, with their counts."""
    sql = text(
        "SELECT kind FROM mfa_security_events JOIN mfa_users ON mfa_users.id = user_id WHERE username = :username"
    )
    return await services.database.read(lambda connection: Counter(connection.scalars(sql, {"username": username})))

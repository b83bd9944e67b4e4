"""What each operation costs the store is what docs/operations.md says."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.account import act
from tests.api_client import Api, Member
from tests.authenticator import code_at

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
DOCUMENTED = {
    name: int(statements)
    for name, statements in re.findall(r"^\| `(\w+)` \| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)
}


async def _register(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.register("bob")


async def _login(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return api.login


async def _verify_otp(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    challenge = await api.challenge()
    return lambda: api.verify_otp(challenge, code_at(member.secret, api.clock(), 1))


async def _verify_recovery_code(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    challenge = await api.challenge()
    return lambda: api.verify_recovery_code(challenge, member.recovery_codes[0])


async def _restart_enrollment(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    registered = await api.register("bob")
    return lambda: api.restart_enrollment(registered["challenge"])


async def _refresh_session(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.refresh(member.refresh_token)


async def _logout(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.logout(member.access_token)


async def _me(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.me(member.access_token)


async def _reauthenticate(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    otp = code_at(member.secret, api.clock())
    return lambda: act(api, "reauthenticate", member.access_token, input={"otp": otp})


async def _regenerate_recovery_codes(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.run("mutation { regenerateRecoveryCodes { __typename } }", token=member.access_token)


PREPARED = {
    "registerUser": (_register, "RegisterUserSuccess"),
    "login": (_login, "OtpRequired"),
    "verifyOtp": (_verify_otp, "SignedIn"),
    "verifyRecoveryCode": (_verify_recovery_code, "SignedIn"),
    "restartEnrollment": (_restart_enrollment, "EnrollmentRestarted"),
    "refreshSession": (_refresh_session, "SignedIn"),
    "logout": (_logout, "LogoutSuccess"),
    "reauthenticate": (_reauthenticate, "Reauthenticated"),
    "regenerateRecoveryCodes": (_regenerate_recovery_codes, "RecoveryCodes"),
    "me": (_me, None),
}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Those that run inside; one that goes over several rows is one."""
    seen: list[str] = []

    def see(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


@pytest.mark.parametrize("operation", PREPARED)
async def test_an_operation_costs_what_is_documented(api: Api, operation: str) -> None:
    prepare, outcome = PREPARED[operation]
    run = await prepare(api, await api.member())
    with statements() as seen:
        answer = await run()
    assert answer.get("__typename") == outcome
    assert len(seen) == DOCUMENTED[operation], seen


def test_the_cost_of_every_operation_is_documented() -> None:
    assert DOCUMENTED.keys() == PREPARED.keys()

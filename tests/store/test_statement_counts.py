"""The operations of every sign-in cost the store no more statements than docs/operations.md says."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import Api, Member
from tests.authenticator import code_at
from tests.conftest import on_each_engine
from tests.statements import statements

pytestmark = on_each_engine

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
AT_MOST = {
    name: int(count) for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)
}

Run = Callable[[], Awaitable[Any]]


async def _register(api: Api, member: Member) -> Run:
    return lambda: api.register("bob")


async def _login(api: Api, member: Member) -> Run:
    return api.login


async def _verify_otp(api: Api, member: Member) -> Run:
    challenge = await api.challenge()
    return lambda: api.verify_otp(challenge, code_at(member.secret, api.clock(), 1))


async def _refresh_session(api: Api, member: Member) -> Run:
    return lambda: api.refresh(member.refresh_token)


async def _me(api: Api, member: Member) -> Run:
    return lambda: api.me(member.access_token)


PREPARED = {
    "registerUser": (_register, "RegisterUserSuccess"),
    "login": (_login, "OtpRequired"),
    "verifyOtp": (_verify_otp, "SignedIn"),
    "refreshSession": (_refresh_session, "SignedIn"),
    "me": (_me, None),
}


@pytest.mark.parametrize("operation", AT_MOST)
async def test_an_operation_takes_at_most_the_documented_statements(api: Api, operation: str) -> None:
    prepare, outcome = PREPARED[operation]
    run = await prepare(api, await api.member())
    with statements() as seen:
        answer = await run()
    assert answer.get("__typename") == outcome
    assert 0 < len(seen) <= AT_MOST[operation], seen

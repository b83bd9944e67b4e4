"""The operations of every sign-in cost the store no more statements than docs/operations.md says."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from graphql_mfa.testing import SoftwarePasskey
from tests import passkeys
from tests.account import act
from tests.api.scenarios import RunApp
from tests.api_client import Api, Member
from tests.authenticator import code_at
from tests.conftest import Connect, on_each_engine
from tests.passkeys import PASSKEYS
from tests.statements import statements

pytestmark = on_each_engine

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
AT_MOST = {
    name + kind: int(count)
    for name, kind, count in re.findall(r"^\| `(\w+)`( alone)? \| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)
}
FINISH_PASSKEY_LOGIN = """mutation M($input: FinishPasskeyLoginInput!) {
  finishPasskeyLogin(input: $input) {
    __typename
    ... on SignInSuccess { tokens { accessToken refreshToken } user { username recoveryCodesLeft } }
  }
}"""

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


async def _finish_passkey_login(api: Api, member: Member) -> Run:
    key = SoftwarePasskey()
    await passkeys.added(api, member.access_token, key)
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": (await api.challenge())["token"]})
    return lambda: api.run(FINISH_PASSKEY_LOGIN, {"input": passkeys.answer(begun, key)})


async def _finish_passkey_login_alone(api: Api, member: Member) -> Run:
    key = SoftwarePasskey()
    await passkeys.added(api, member.access_token, key)
    begun = await act(api, "beginPasskeyLogin")
    return lambda: api.run(FINISH_PASSKEY_LOGIN, {"input": passkeys.answer(begun, key)})


PREPARED = {
    "registerUser": (_register, "RegisterUserSuccess"),
    "login": (_login, "OtpRequired"),
    "verifyOtp": (_verify_otp, "SignedIn"),
    "finishPasskeyLogin": (_finish_passkey_login, "SignedIn"),
    "finishPasskeyLogin alone": (_finish_passkey_login_alone, "SignedIn"),
    "refreshSession": (_refresh_session, "SignedIn"),
    "me": (_me, None),
}


@pytest.mark.parametrize("operation", AT_MOST)
async def test_an_operation_takes_at_most_the_documented_statements(
    run_app: RunApp, connect: Connect, operation: str
) -> None:
    prepare, outcome = PREPARED[operation]
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        run = await prepare(api, await api.member())
        with statements() as seen:
            answer = await run()
    assert answer.get("__typename") == outcome
    assert 0 < len(seen) <= AT_MOST[operation], seen

"""Claims of the host in access tokens: when it is asked, and that nothing is lost while it can't answer."""

import asyncio
import base64
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from graphql_mfa import ClaimsRequest, PublicError
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests import passkeys
from tests.account import act, document
from tests.api.scenarios import RunApp, begin_to_add, key_of_member
from tests.api_client import REFRESH_SESSION, VERIFY_OTP, VERIFY_RECOVERY_CODE, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.passkeys import PASSKEYS
from tests.security.attacks import at_once, events_of, failures_counted, kinds, sessions_of

pytestmark = on_each_engine


Request = tuple[str, object, str | None]
"""A document, its variables and an access token."""


class Host:
    """Returns a role, records its calls, and can run a function first."""

    def __init__(self) -> None:
        self.asked: list[ClaimsRequest] = []
        self.first: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, request: ClaimsRequest) -> Mapping[str, object]:
        self.asked.append(request)
        if self.first:
            await self.first()
        return {"role": "admin", "asked_amr": list(request.amr)}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def app(run_app: RunApp, host: Host) -> AsyncIterator[FastAPI]:
    async with run_app(claims=host, **PASSKEYS) as app:
        yield app


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


async def set_up_otp(api: Api) -> Request:
    registered = await api.register()
    otp = code_at(registered["enrollment"]["secret"], api.clock())
    return VERIFY_OTP, {"input": {"challengeToken": registered["challenge"]["token"], "otp": otp}}, None


async def sign_in_by_otp(api: Api) -> Request:
    member = await api.member()
    otp = code_at(member.secret, api.clock())
    return VERIFY_OTP, {"input": {"challengeToken": (await api.challenge())["token"], "otp": otp}}, None


async def sign_in_by_recovery_code(api: Api) -> Request:
    member = await api.member()
    code = member.recovery_codes[0]
    return (
        VERIFY_RECOVERY_CODE,
        {"input": {"challengeToken": (await api.challenge())["token"], "recoveryCode": code}},
        None,
    )


async def refresh(api: Api) -> Request:
    member = await api.member()
    return REFRESH_SESSION, {"input": {"refreshToken": member.refresh_token}}, None


async def repeat_a_refresh(api: Api) -> Request:
    query, variables, _ = await refresh(api)
    await api.run(query, variables)
    return query, variables, None


async def reauthenticate_by_otp(api: Api) -> Request:
    member = await api.member()
    variables = {"input": {"otp": code_at(member.secret, api.clock())}}
    return document("reauthenticate"), variables, member.access_token


async def reauthenticate_by_recovery_code(api: Api) -> Request:
    member = await api.member()
    return document("reauthenticate"), {"input": {"recoveryCode": member.recovery_codes[0]}}, member.access_token


async def set_up_passkey(api: Api) -> Request:
    challenge = (await api.register())["challenge"]
    begun = await begin_to_add(api, challengeToken=challenge["token"])
    return document("finishPasskeyRegistration"), {"input": passkeys.answer(begun, SoftwarePasskey())}, None


async def sign_in_by_passkey(api: Api) -> Request:
    key = await key_of_member(api)
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": (await api.challenge())["token"]})
    return document("finishPasskeyLogin"), {"input": passkeys.answer(begun, key)}, None


async def sign_in_by_passkey_alone(api: Api) -> Request:
    key = await key_of_member(api)
    begun = await act(api, "beginPasskeyLogin")
    return document("finishPasskeyLogin"), {"input": passkeys.answer(begun, key)}, None


async def reauthenticate_by_passkey(api: Api) -> Request:
    member, key = await api.member(), SoftwarePasskey()
    await passkeys.added(api, member.access_token, key)
    begun = await act(api, "beginPasskeyReauthentication", member.access_token)
    return document("reauthenticate"), {"input": {"passkey": passkeys.answer(begun, key)}}, member.access_token


OPENINGS = [
    *(set_up_otp, sign_in_by_otp, sign_in_by_recovery_code),
    *(set_up_passkey, sign_in_by_passkey, sign_in_by_passkey_alone),
]
ISSUES = [
    *OPENINGS,
    *(refresh, repeat_a_refresh),
    *(reauthenticate_by_otp, reauthenticate_by_recovery_code, reauthenticate_by_passkey),
]
each_issue = pytest.mark.parametrize("prepare", ISSUES)


def token_in(answer: Result) -> str:
    token: str = answer["tokens"]["accessToken"] if "tokens" in answer else answer["accessToken"]
    return token


async def state_of(services: Services) -> tuple[object, ...]:
    return await sessions_of(services), await events_of(services), await failures_counted(services)


@each_issue
async def test_every_access_token_has_the_claims_of_the_host(
    api: Api, host: Host, prepare: Callable[[Api], Awaitable[Request]]
) -> None:
    query, variables, token = await prepare(api)
    host.asked.clear()
    answer = await api.run(query, variables, token=token)
    issued = token_in(answer)
    claims = claims_of(issued)
    assert claims["role"] == "admin"
    assert claims["asked_amr"] == claims["amr"]
    (asked,) = host.asked
    assert (str(asked.user_id), asked.username) == (claims["sub"], "alice")
    assert asked.authenticated_at.timestamp() == claims["auth_time"]
    assert asked.session_id is None if prepare in OPENINGS else str(asked.session_id) == claims["sid"]
    assert await api.me(issued) is not None


@each_issue
@pytest.mark.parametrize("leaves", [False, True], ids=["the host fails", "the client leaves"])
async def test_nothing_is_consumed_when_the_hosts_function_fails(
    api: Api,
    services: Services,
    host: Host,
    caplog: pytest.LogCaptureFixture,
    prepare: Callable[[Api], Awaitable[Request]],
    leaves: bool,
) -> None:
    query, variables, token = await prepare(api)
    before = await state_of(services)

    async def fail() -> None:
        raise ConnectionError("".join(["hunter", "2"]))  # a traceback shows the line

    asked, answered = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        asked.set()
        await answered.wait()

    for _ in range(3):
        if leaves:
            asked.clear()
            host.first = hang
            request = asyncio.create_task(api.send(query, variables, token=token))
            await asked.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        else:
            host.first = fail
            failed = (await api.send(query, variables, token=token)).json()
            assert [error["message"] for error in failed["errors"]] == ["Internal server error."]
            assert "ConnectionError" in caplog.text
        assert await state_of(services) == before
    assert "hunter2" not in caplog.text

    host.first = None
    answer = await api.run(query, variables, token=token)
    assert claims_of(token_in(answer))["role"] == "admin"
    if prepare in {set_up_otp, set_up_passkey}:
        assert len(answer["recoveryCodes"]) == 10


async def test_a_wrong_answer_is_counted_without_calling_the_hosts_function(
    api: Api, services: Services, host: Host
) -> None:
    member = await api.member()
    challenge = await api.challenge()
    host.asked.clear()

    async def fail() -> None:
        raise ConnectionError

    host.first = fail
    wrong = wrong_code(member.secret, api.clock())
    assert (await api.verify_otp(challenge, wrong))["attemptsLeft"] == 4
    assert (await api.verify_recovery_code(challenge, "0000-0000-0000-0000-0000-0000"))["attemptsLeft"] == 3
    assert (await act(api, "reauthenticate", member.access_token, input={"otp": wrong}))["__typename"] == "InvalidOtp"
    assert (await api.refresh("mfar_" + "A" * 43))["__typename"] == "SessionExpired"
    assert host.asked == []
    assert await failures_counted(services) == 2


async def test_a_code_does_not_expire_while_the_hosts_function_runs(api: Api, host: Host, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()
    sent_at = clock()

    async def take_an_hour() -> None:
        clock.advance(3600)

    host.first = take_an_hour
    answer = await api.verify_otp(challenge, code_at(member.secret, sent_at))
    assert answer["__typename"] == "SignedIn"
    assert claims_of(answer["tokens"]["accessToken"])["iat"] == int(sent_at.timestamp())


async def test_the_hosts_function_may_write_to_the_database(api: Api, host: Host) -> None:
    """It is called outside the transaction, which would block other writers."""
    member = await api.member()

    async def write() -> None:
        host.first = None
        await api.member("bob")
        assert (await api.logout(refresh_token=other["tokens"]["refreshToken"]))["sessionsEnded"] == 1

    other = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    host.first = write
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"


async def test_a_session_that_ends_while_the_hosts_function_runs_gets_no_token(api: Api, host: Host) -> None:
    member = await api.member()

    async def end() -> None:
        host.first = None
        await api.logout(member.access_token)

    host.first = end
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"


async def test_the_hosts_function_is_called_again_when_the_session_changed_meanwhile(api: Api, host: Host) -> None:
    member = await api.member()
    host.asked.clear()

    async def verify_again() -> None:
        host.first = None
        await act(api, "reauthenticate", member.access_token, input={"recoveryCode": member.recovery_codes[0]})

    host.first = verify_again
    claims = claims_of((await api.refresh(member.refresh_token))["tokens"]["accessToken"])
    assert claims["amr"] == claims["asked_amr"] == ["pwd", "otp", "recovery_code", "mfa"]
    assert [request.amr for request in host.asked] == [
        ("pwd", "otp", "mfa"),
        *[("pwd", "otp", "recovery_code", "mfa")] * 2,
    ]


def answer_once_all_asked(host: Host, count: int) -> None:
    """Answer none of the requests that come from now on before the last of them has come."""
    host.asked.clear()
    all_asked = asyncio.Event()

    async def wait_for_all() -> None:
        if len(host.asked) == count:
            all_asked.set()
        await all_asked.wait()

    host.first = wait_for_all


async def test_parallel_requests_with_one_code_open_one_session(api: Api, services: Services, host: Host) -> None:
    member = await api.member()
    challenge = await api.challenge()
    code = code_at(member.secret, api.clock())
    answer_once_all_asked(host, 4)
    answers = await at_once(api.verify_otp(challenge, code) for _ in range(4))
    assert kinds(answers) == Counter(SignedIn=1, ChallengeExpired=3)
    assert await sessions_of(services) == 2


async def test_parallel_refreshes_get_the_same_pair(api: Api, host: Host) -> None:
    member = await api.member()
    answer_once_all_asked(host, 4)
    answers = await at_once(api.refresh(member.refresh_token) for _ in range(4))
    assert len({answer["tokens"]["refreshToken"] for answer in answers}) == 1
    assert {claims_of(answer["tokens"]["accessToken"])["role"] for answer in answers} == {"admin"}


async def test_a_synchronous_function_can_return_claims(run_app: RunApp, connect: Connect) -> None:
    async with run_app(claims=lambda request: {"name": request.username}) as app:
        member = await connect(app).member()
    assert claims_of(member.access_token)["name"] == "alice"


async def test_a_registered_claim_is_refused_and_the_log_names_it(
    api: Api, run_app: RunApp, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    member = await api.member()
    async with run_app(claims=lambda request: {"role": "admin", "sub": request.username}) as app:
        answer = (await connect(app).send(REFRESH_SESSION, {"input": {"refreshToken": member.refresh_token}})).json()
    assert answer["errors"][0]["message"] == "Internal server error."
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.endswith("The host's claims can't set sub: the server does.")
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"


async def test_a_public_error_of_the_hosts_function_reaches_the_client(
    api: Api, run_app: RunApp, connect: Connect
) -> None:
    member = await api.member()

    def refuse(_: ClaimsRequest) -> Mapping[str, object]:
        raise PublicError("Try again in a minute.", extensions={"code": "DIRECTORY_AWAY"})

    async with run_app(claims=refuse) as app:
        answer = (await connect(app).send(REFRESH_SESSION, {"input": {"refreshToken": member.refresh_token}})).json()
    assert answer["errors"][0]["message"] == "Try again in a minute."
    assert answer["errors"][0]["extensions"] == {"code": "DIRECTORY_AWAY"}
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"

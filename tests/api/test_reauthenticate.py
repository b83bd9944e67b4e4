"""reauthenticate."""

import base64
import json
from typing import Any

import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests import devices
from tests.account import document, user_of
from tests.api.answers import failure, rate_limited
from tests.api.scenarios import NO_RECOVERY_CODE, RunApp, reauthenticate
from tests.api_client import Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import events_of, failures_counted


def claims_of(token: str) -> dict[str, Any]:
    """The claims of an access token."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


async def test_a_one_time_code_renews_the_session(api: Api, clock: Clock) -> None:
    member = await api.member()
    before = claims_of(member.access_token)
    clock.advance(100)
    renewed = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock()))
    assert renewed == {
        "__typename": "Reauthenticated",
        "accessToken": renewed["accessToken"],
        "accessTokenExpiresAt": "2026-01-01T00:12:20+00:00",
        "accessTokenExpiresIn": 600,
        "user": await user_of(api, member.access_token),
    }
    claims = claims_of(renewed["accessToken"])
    now = int(clock().timestamp())
    assert claims == before | {"auth_time": now, "iat": now, "exp": now + 600, "jti": claims["jti"]}
    assert claims["jti"] != before["jti"]
    assert before["auth_time"] == now - 130
    assert await user_of(api, renewed["accessToken"]) == renewed["user"]


async def test_a_recovery_code_renews_the_session_and_is_used_up(api: Api, services: Services) -> None:
    member = await api.member()
    renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0].lower())
    assert renewed["__typename"] == "Reauthenticated"
    assert renewed["user"]["recoveryCodesLeft"] == 9
    assert claims_of(renewed["accessToken"])["amr"] == ["pwd", "otp", "recovery_code", "mfa"]
    again = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
    assert again == failure("InvalidRecoveryCode", attemptsLeft=9)
    assert await events_of(services) == {
        "REGISTERED": 1,
        "ENROLLMENT_CONFIRMED": 1,
        "SIGNED_IN": 1,
        "RECOVERY_CODE_USED": 1,
        "SIGN_IN_FAILED": 1,
    }


async def test_each_factor_is_listed_once_in_order_of_first_use(api: Api, clock: Clock) -> None:
    member = await api.member()
    for answer in (
        {"recoveryCode": member.recovery_codes[0]},
        {"otp": code_at(member.secret, clock())},
        {"recoveryCode": member.recovery_codes[1]},
    ):
        renewed = await reauthenticate(api, member.access_token, **answer)
        assert claims_of(renewed["accessToken"])["amr"] == ["pwd", "otp", "recovery_code", "mfa"]


async def test_the_refresh_token_stays_and_a_refresh_keeps_the_verified_factors(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(500)
    renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
    verified = claims_of(renewed["accessToken"])
    clock.advance(500)
    refreshed = await api.refresh(member.refresh_token)
    claims = claims_of(refreshed["tokens"]["accessToken"])
    assert {name: claims[name] for name in ("auth_time", "amr", "acr", "sid")} == {
        name: verified[name] for name in ("auth_time", "amr", "acr", "sid")
    }
    assert claims["iat"] == verified["iat"] + 500


async def test_the_code_that_signed_in_is_refused_and_recorded_as_replay(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    answer = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock(), -1))
    # The clock stands ten seconds into the step after it.
    assert answer == failure("OtpAlreadyUsed", retryAfter=1, attemptsLeft=4)
    assert (await events_of(services))["OTP_REPLAYED"] == 1
    assert await failures_counted(services) == 0


async def test_a_code_renews_once(api: Api, clock: Clock) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await reauthenticate(api, member.access_token, otp=code))["__typename"] == "Reauthenticated"
    assert await reauthenticate(api, member.access_token, otp=code) == failure(
        "OtpAlreadyUsed", retryAfter=20, attemptsLeft=4
    )
    signed_in = await api.verify_otp(await api.challenge(), code)
    assert signed_in["__typename"] == "OtpAlreadyUsed"


async def test_a_slow_clock_is_reported(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(240)
    answer = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock(), -5))
    assert answer == failure("InvalidOtp", attemptsLeft=4, clockBehindSeconds=150)


async def test_wrong_codes_share_one_count_with_sign_in(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    challenge, wrong = await api.challenge(), wrong_code(member.secret, clock())
    assert (await api.verify_otp(challenge, wrong))["attemptsLeft"] == 4
    for attempts_left in (3, 2, 1):
        answer = await reauthenticate(api, member.access_token, otp=wrong)
        assert answer == failure("InvalidOtp", attemptsLeft=attempts_left, clockBehindSeconds=None)
    assert (await api.verify_otp(challenge, wrong))["attemptsLeft"] == 3
    assert await failures_counted(services) == 5

    assert await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock())) == rate_limited(60)
    assert (await api.verify_otp(challenge, wrong))["__typename"] == "RateLimited"
    clock.advance(60)
    renewed = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock()))
    assert renewed["__typename"] == "Reauthenticated"
    assert (await api.verify_otp(challenge, wrong))["__typename"] == "InvalidOtp"  # the row of wrong ones has ended


async def test_a_recovery_code_renews_while_one_time_codes_are_blocked_or_disabled(
    run_app: RunApp, connect: Connect
) -> None:
    async with run_app(otp_failures_before_disabling=1) as app:
        api = connect(app)
        member = await api.member()
        await reauthenticate(api, member.access_token, otp=wrong_code(member.secret, api.clock()))
        off = await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))
        renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
    assert off == failure("FactorDisabled")
    assert renewed["__typename"] == "Reauthenticated"


async def test_an_attempt_refused_for_a_wait_is_not_counted_for_the_session(run_app: RunApp, connect: Connect) -> None:
    async with run_app(account_changes=6) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(5):
            await reauthenticate(api, member.access_token, otp=wrong_code(member.secret, api.clock()))
        for _ in range(3):
            waiting = await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))
            assert waiting["__typename"] == "RateLimited"
        renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
        assert renewed["__typename"] == "Reauthenticated"


async def test_wrong_recovery_codes_share_one_limit_per_address_with_sign_in(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    api, elsewhere = connect(app), connect(app, "10.0.0.2")
    member = await api.member()
    challenge = await api.challenge()
    await api.verify_recovery_code(challenge, NO_RECOVERY_CODE)
    for attempts_left in range(8, -1, -1):
        answer = await reauthenticate(api, member.access_token, recoveryCode=NO_RECOVERY_CODE)
        assert answer == failure("InvalidRecoveryCode", attemptsLeft=attempts_left)
    clock.advance(100)
    refused = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
    assert refused == rate_limited(200)
    renewed = await reauthenticate(elsewhere, member.access_token, recoveryCode=member.recovery_codes[0])
    assert renewed["__typename"] == "Reauthenticated"


async def test_attempts_are_limited_per_session(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(account_changes=2) as app:
        api = connect(app)
        member = await api.member()
        other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
        for _ in range(2):
            await reauthenticate(api, member.access_token, recoveryCode=NO_RECOVERY_CODE)
        clock.advance(20)
        code = code_at(member.secret, clock())
        assert await reauthenticate(api, member.access_token, otp=code) == rate_limited(3580)
        renewed = await reauthenticate(api, other["tokens"]["accessToken"], otp=code)
    assert renewed["__typename"] == "Reauthenticated"


async def test_exactly_one_kind_of_code_must_be_given(api: Api, clock: Clock, subtests: pytest.Subtests) -> None:
    member = await api.member()
    otp, recovery_code = code_at(member.secret, clock()), member.recovery_codes[0]
    for answer in (
        {},
        {"otp": otp, "recoveryCode": recovery_code},
        {"otp": None},
        {"otp": otp, "recoveryCode": None},
    ):
        with subtests.test(given=list(answer)):
            response = await api.send(document("reauthenticate"), {"input": answer}, token=member.access_token)
            assert response.json()["errors"]
            assert not response.json().get("data")
            user = await user_of(api, member.access_token)
            assert user["recoveryCodesLeft"] == 10
    assert (await reauthenticate(api, member.access_token, otp=otp))["__typename"] == "Reauthenticated"


async def test_an_invalid_token_and_an_expired_one_get_different_answers(api: Api, clock: Clock) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    for token, reason in ((None, "TOKEN_MISSING"), ("nonsense", "TOKEN_INVALID")):
        assert await reauthenticate(api, token, otp=code) == failure("NotAuthenticated", reason=reason)
    clock.advance(600)
    expired = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock()))
    assert expired == failure("NotAuthenticated", reason="TOKEN_EXPIRED")


async def test_a_second_consecutive_wrong_code_asks_to_correct_the_clock(api: Api, clock: Clock) -> None:
    member = await api.member()
    ahead = code_at(member.secret, clock(), 5)
    tablet = await devices.added(api, member.access_token)
    answers = [
        await reauthenticate(api, member.access_token, otp=ahead),
        await reauthenticate(api, member.access_token, otp=ahead),
        await devices.confirm(api, member.access_token, tablet.id, code_at(tablet.secret, clock(), 5)),
    ]
    assert [answer["__typename"] for answer in answers] == ["InvalidOtp"] * 3
    assert ["clock to automatic" in answer["message"] for answer in answers] == [False, True, True]

"""verifyRecoveryCode."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from tests.api.answers import CHALLENGE_EXPIRED, failure, rate_limited
from tests.api.scenarios import NO_CHALLENGE, NO_RECOVERY_CODE, RunApp
from tests.api_client import Api, Result
from tests.authenticator import wrong_code
from tests.clock import Clock
from tests.conftest import Connect


def invalid_recovery_code(attempts_left: int) -> Result:
    return failure("InvalidRecoveryCode", attemptsLeft=attempts_left)


async def test_a_recovery_code_signs_in(api: Api) -> None:
    member = await api.member()
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    tokens = signed_in["tokens"]
    assert signed_in == {
        "__typename": "SignedIn",
        "tokens": {
            "accessToken": tokens["accessToken"],
            "accessTokenExpiresAt": "2026-01-01T00:10:40+00:00",
            "accessTokenExpiresIn": 600,
            "refreshToken": tokens["refreshToken"],
            "refreshTokenExpiresAt": "2026-01-01T01:00:40+00:00",
        },
        "user": member.session["user"] | {"recoveryCodesLeft": 9},
    }
    assert await api.me(tokens["accessToken"]) == signed_in["user"]


async def test_different_spellings_of_a_recovery_code_are_accepted(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()
    variants: dict[str, Callable[[str], str]] = {
        "lower case": str.lower,
        "no hyphens": lambda code: code.replace("-", ""),
        "spaces": lambda code: f" {code.replace('-', '  ')} ",
        "look-alike letters": lambda code: code.replace("0", "O").replace("1", "l"),
    }
    for code, (name, typed) in zip(member.recovery_codes, variants.items(), strict=False):
        with subtests.test(name):
            signed_in = await api.verify_recovery_code(await api.challenge(), typed(code))
            assert signed_in["__typename"] == "SignedIn"


async def test_a_recovery_code_works_once(api: Api) -> None:
    member = await api.member()
    await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    again = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert again == invalid_recovery_code(4)


async def test_a_challenge_takes_five_wrong_recovery_codes(api: Api) -> None:
    member = await api.member()
    challenge = await api.challenge()
    for attempts_left, code in zip(
        (4, 3, 2, 1, 0), ("", "nonsense", "Ø" * 24, "A" * 200, NO_RECOVERY_CODE), strict=True
    ):
        assert await api.verify_recovery_code(challenge, code) == invalid_recovery_code(attempts_left)
    assert await api.verify_recovery_code(challenge, member.recovery_codes[0]) == CHALLENGE_EXPIRED


async def test_a_challenge_expires_and_is_answered_once(api: Api, clock: Clock) -> None:
    member = await api.member()
    answered, late = await api.challenge(), await api.challenge()
    await api.verify_recovery_code(answered, member.recovery_codes[0])
    clock.advance(300)
    for challenge in (answered, late, NO_CHALLENGE):
        assert await api.verify_recovery_code(challenge, member.recovery_codes[1]) == CHALLENGE_EXPIRED


async def test_no_recovery_code_works_before_the_enrollment_is_confirmed(api: Api) -> None:
    registered = await api.register()
    assert await api.verify_recovery_code(registered["challenge"], NO_RECOVERY_CODE) == invalid_recovery_code(4)


async def test_an_address_may_try_ten_wrong_recovery_codes_in_five_minutes(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    api, elsewhere = connect(app), connect(app, "10.0.0.2")
    member = await api.member()
    for _ in range(10):
        await api.verify_recovery_code(await api.challenge(), NO_RECOVERY_CODE)
    clock.advance(100)
    challenge = await api.challenge()
    assert await api.verify_recovery_code(challenge, member.recovery_codes[0]) == rate_limited(200)
    signed_in = await elsewhere.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert signed_in["__typename"] == "SignedIn"
    clock.advance(200)
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[1])
    assert signed_in["__typename"] == "SignedIn"


@pytest.mark.parametrize(("failures", "failures_before_disabling"), [(5, 100), (1, 1)], ids=["blocked", "disabled"])
async def test_a_recovery_code_works_while_one_time_codes_are_blocked_or_disabled(
    run_app: RunApp, connect: Connect, clock: Clock, failures: int, failures_before_disabling: int
) -> None:
    async with run_app(otp_failures_before_disabling=failures_before_disabling) as app:
        api = connect(app)
        member = await api.member()
        challenge = await api.challenge()
        for _ in range(failures):
            await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        signed_in = await api.verify_recovery_code(challenge, member.recovery_codes[0])
        assert signed_in["__typename"] == "SignedIn"

"""verifyOtp."""

import pytest

from tests.api.answers import CHALLENGE_EXPIRED, failure, rate_limited
from tests.api.scenarios import RunApp
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect

USED_CODE = """mutation VerifyOtp($input: VerifyOtpInput!) {
  verifyOtp(input: $input) { __typename ... on OtpAlreadyUsed { attemptsLeft } }
}"""


def invalid_otp(attempts_left: int, clock_behind_seconds: int | None = None) -> Result:
    return failure("InvalidOtp", attemptsLeft=attempts_left, clockBehindSeconds=clock_behind_seconds)


def already_used(retry_after: int) -> Result:
    return failure("OtpAlreadyUsed", retryAfter=retry_after)


async def answer(api: Api, member: Member, steps: int = 0) -> Result:
    """Answer a fresh challenge with the code that the device shows n steps from now."""
    return await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock(), steps))


async def test_the_first_code_confirms_the_enrollment_and_signs_in(api: Api, clock: Clock) -> None:
    registered = await api.register()
    confirmed = await api.verify_otp(registered["challenge"], code_at(registered["enrollment"]["secret"], clock()))
    tokens, codes = confirmed["tokens"], confirmed["recoveryCodes"]
    assert confirmed == {
        "__typename": "EnrollmentConfirmed",
        "recoveryCodes": codes,
        "tokens": {
            "accessToken": tokens["accessToken"],
            "accessTokenExpiresAt": "2026-01-01T00:10:10+00:00",
            "accessTokenExpiresIn": 600,
            "refreshToken": tokens["refreshToken"],
            "refreshTokenExpiresAt": "2026-01-01T01:00:10+00:00",
        },
        "user": registered["user"] | {"mfaEnabled": True, "recoveryCodesLeft": 10},
    }
    assert len(set(codes)) == 10
    assert await api.me(tokens["accessToken"]) == confirmed["user"]


async def test_each_of_the_ten_recovery_codes_works(api: Api) -> None:
    member = await api.member()
    left = []
    for code in member.recovery_codes:
        signed_in = await api.verify_recovery_code(await api.challenge(), code)
        left.append(signed_in["user"]["recoveryCodesLeft"])
    assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


async def test_a_code_signs_in(api: Api) -> None:
    member = await api.member()
    signed_in = await answer(api, member)
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
        "user": member.session["user"],
    }
    assert await api.me(tokens["accessToken"]) == member.session["user"]
    assert await api.me(member.access_token) == member.session["user"], "the first session goes on"


@pytest.mark.parametrize("steps", [-1, 0, 1])
async def test_a_code_of_one_step_before_or_after_is_accepted(api: Api, clock: Clock, steps: int) -> None:
    member = await api.member()
    clock.advance(60)
    assert (await answer(api, member, steps))["__typename"] == "SignedIn"


async def test_spaces_in_a_code_are_ignored(api: Api, clock: Clock) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), f" {code[:3]} {code[3:]} "))["__typename"] == "SignedIn"


@pytest.mark.parametrize(
    ("steps", "retry_after"),
    # Ten seconds into a step. After the code of the last step, the one that the device shows now is accepted.
    [(-1, 1), (0, 20), (1, 50)],
)
async def test_a_used_code_returns_the_wait_for_the_next_one(
    api: Api, clock: Clock, steps: int, retry_after: int
) -> None:
    member = await api.member()
    clock.advance(60)
    await answer(api, member, steps)
    assert await answer(api, member, steps) == already_used(retry_after)
    clock.advance(retry_after)
    assert (await answer(api, member))["__typename"] == "SignedIn"


async def test_the_code_that_confirmed_the_enrollment_can_not_be_used_again(api: Api, clock: Clock) -> None:
    member = await api.member()
    assert await answer(api, member, -1) == already_used(1)


async def test_a_used_code_counts_as_an_attempt_of_the_challenge(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()
    for attempts_left in (4, 3, 2, 1):
        variables = {"input": {"challengeToken": challenge["token"], "otp": code_at(member.secret, clock(), -1)}}
        assert await api.run(USED_CODE, variables) == {"__typename": "OtpAlreadyUsed", "attemptsLeft": attempts_left}
    assert await api.verify_otp(challenge, wrong_code(member.secret, clock())) == invalid_otp(0)


async def test_a_challenge_takes_five_wrong_answers(api: Api, clock: Clock) -> None:
    registered = await api.register()
    challenge, secret = registered["challenge"], registered["enrollment"]["secret"]
    for attempts_left in (4, 3, 2, 1, 0):
        assert await api.verify_otp(challenge, wrong_code(secret, clock())) == invalid_otp(attempts_left)
    assert await api.verify_otp(challenge, code_at(secret, clock())) == CHALLENGE_EXPIRED


async def test_malformed_codes_count_as_wrong(api: Api, subtests: pytest.Subtests) -> None:
    registered = await api.register()
    for attempts_left, otp in zip((4, 3, 2, 1, 0), ("", "12345", "1234567", "abcdef", "¹²³⁴⁵⁶"), strict=True):
        with subtests.test(otp=otp):
            assert await api.verify_otp(registered["challenge"], otp) == invalid_otp(attempts_left)


@pytest.mark.parametrize(
    ("steps", "clock_behind_seconds"), [(-2, 60), (-3, 90), (-10, 300), (-11, None), (2, None), (3, None)]
)
async def test_a_slow_device_clock_is_reported_with_its_delay(
    api: Api, clock: Clock, steps: int, clock_behind_seconds: int | None
) -> None:
    member = await api.member()
    clock.advance(600)
    assert await answer(api, member, steps) == invalid_otp(4, clock_behind_seconds)


async def test_a_code_older_than_the_last_accepted_one_does_not_report_a_slow_clock(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(600)
    await answer(api, member)
    assert await answer(api, member, -2) == invalid_otp(4)


@pytest.mark.parametrize("steps", [2, 10, None], ids=["60 s ahead", "300 s ahead", "no clock's"])
async def test_from_the_second_wrong_code_on_the_message_asks_to_correct_the_clock(
    api: Api, clock: Clock, steps: int | None
) -> None:
    """The message is the same for every wrong code, since the code of a fast clock will be right later."""
    member = await api.member()

    async def message_of_a_wrong_code(challenge: Result) -> str:
        code = wrong_code(member.secret, clock()) if steps is None else code_at(member.secret, clock(), steps)
        message: str = (await api.verify_otp(challenge, code))["message"]
        return message

    challenge, another = await api.challenge(), await api.challenge()
    messages = [await message_of_a_wrong_code(challenge) for _ in range(5)]
    clock.advance(60)
    messages += [await message_of_a_wrong_code(another)]
    first = "This code is wrong. Enter the code that your authenticator app shows now."
    again = (
        "This code is wrong. Set your device's clock to automatic. Enter the code that your authenticator app shows "
        "now."
    )
    last = "This code is wrong. Set your device's clock to automatic. That was the last try: log in again."
    assert messages == [first, again, again, again, last, first]


async def test_advice_about_the_clock_is_not_given_for_a_text_that_is_no_code(api: Api) -> None:
    await api.member()
    challenge = await api.challenge()
    answers = [await api.verify_otp(challenge, text) for text in ("12345", "one two three", "", "1234567", "12345")]
    assert {answer["__typename"] for answer in answers} == {"InvalidOtp"}
    enter = "A code has 6 digits. Enter the code that your authenticator app shows now."
    last = "A code has 6 digits. That was the last try: log in again."
    assert [answer["message"] for answer in answers] == [enter, enter, enter, enter, last]


async def test_a_code_of_a_slow_clock_is_counted(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(600)
    challenge = await api.challenge()
    for attempts_left in (4, 3, 2, 1, 0):
        assert await api.verify_otp(challenge, code_at(member.secret, clock(), -2)) == invalid_otp(attempts_left, 60)
    assert (await answer(api, member))["__typename"] == "RateLimited"


async def test_a_challenge_can_be_answered_for_five_minutes(api: Api, clock: Clock) -> None:
    member = await api.member()
    early, late = await api.challenge(), await api.challenge()
    clock.advance(299)
    assert (await api.verify_otp(early, code_at(member.secret, clock())))["__typename"] == "SignedIn"
    clock.advance(1)
    assert await api.verify_otp(late, code_at(member.secret, clock(), 1)) == CHALLENGE_EXPIRED


async def test_a_challenge_can_be_answered_once(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()
    await api.verify_otp(challenge, code_at(member.secret, clock()))
    assert await api.verify_otp(challenge, code_at(member.secret, clock(), 1)) == CHALLENGE_EXPIRED


async def test_an_unknown_challenge_returns_challenge_expired(api: Api, subtests: pytest.Subtests) -> None:
    for token in ["", "nonsense", "mfac_" + "A" * 43, "mfac_" + "A" * 44]:
        with subtests.test(token=token):
            assert await api.verify_otp({"token": token}, "000000") == CHALLENGE_EXPIRED


async def test_from_the_fifth_consecutive_wrong_code_on_each_doubles_the_wait(api: Api, clock: Clock) -> None:
    member = await api.member()
    wrong = wrong_code(member.secret, clock())
    for _ in range(4):
        assert await api.verify_otp(await api.challenge(), wrong) == invalid_otp(4)
    for wait in (60, 120, 240):
        challenge = await api.challenge()
        assert await api.verify_otp(challenge, wrong_code(member.secret, clock())) == invalid_otp(4)
        clock.advance(10)
        limited = rate_limited(wait - 10)
        assert await api.verify_otp(challenge, code_at(member.secret, clock())) == limited
        assert await api.verify_otp(challenge, code_at(member.secret, clock())) == limited
        clock.advance(wait - 10)
    assert await api.verify_otp(challenge, wrong_code(member.secret, clock())) == invalid_otp(3), (
        "none of these counted"
    )


async def test_a_right_code_resets_the_count_of_consecutive_wrong_codes(api: Api, clock: Clock) -> None:
    member = await api.member()
    for step in (0, 1):
        for _ in range(4):
            assert await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock())) == invalid_otp(4)
        assert (await answer(api, member, step))["__typename"] == "SignedIn"


async def test_wrong_codes_at_a_pending_enrollment_count_on_the_challenge_only(api: Api, clock: Clock) -> None:
    registered = await api.register()
    secret = registered["enrollment"]["secret"]
    for _ in range(5):
        await api.verify_otp(registered["challenge"], wrong_code(secret, clock()))
    challenge = await api.challenge()
    assert (await api.verify_otp(challenge, code_at(secret, clock())))["__typename"] == "EnrollmentConfirmed"


async def test_too_many_wrong_codes_disable_one_time_codes(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(otp_failures_before_disabling=2) as app:
        api = connect(app)
        member = await api.member()
        await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        assert (await answer(api, member))["__typename"] == "SignedIn", "which does not reset the count"
        clock.advance(60)
        await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        clock.advance(86_400)
        assert await answer(api, member) == failure("FactorDisabled")

"""resetPassword."""

import pytest

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from tests.account import user_of
from tests.api.answers import SENTENCE, failure, rate_limited
from tests.api.scenarios import NEW_PASSWORD, NO_RECOVERY_CODE, RunApp, reset_password, reset_with_both_codes
from tests.api_client import PASSWORD, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import FULLWIDTH_ALICE, events_of, execute, failures_counted, guess, scalar
from tests.slots import slots_taken

REJECTED = failure("ResetRejected")


def invalid(code: str) -> Result:
    return failure(
        "InvalidInput", fields=[{"__typename": "FieldError", "field": "newPassword", "code": code, "message": SENTENCE}]
    )


async def test_both_codes_set_a_new_password_and_are_used_up(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    assert await reset_with_both_codes(api, member) == {"__typename": "PasswordChanged", "sessionsEnded": 1}
    assert (await api.login())["__typename"] == "InvalidCredentials"
    challenge = await api.challenge(password=NEW_PASSWORD)
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "OtpAlreadyUsed"
    used = await api.verify_recovery_code(challenge, member.recovery_codes[0])
    assert used["__typename"] == "InvalidRecoveryCode"
    signed_in = await api.verify_otp(challenge, code_at(member.secret, clock(), 1))
    assert signed_in["user"]["recoveryCodesLeft"] == 9
    events = await events_of(services)
    assert (events["RECOVERY_CODE_USED"], events["PASSWORD_RESET"], events["PASSWORD_CHANGED"]) == (1, 1, 0)


async def test_every_session_and_every_challenge_ends(api: Api) -> None:
    member, bob = await api.member(), await api.member("bob")
    other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[1])
    challenge = await api.challenge()
    assert (await reset_with_both_codes(api, member))["sessionsEnded"] == 2
    for token in (member.access_token, other["tokens"]["accessToken"]):
        assert await api.me(token) is None
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    answer = await api.verify_recovery_code(challenge, member.recovery_codes[2])
    assert answer["__typename"] == "ChallengeExpired"
    assert await api.me(bob.access_token) is not None


@pytest.mark.parametrize("name", ["ALICE", FULLWIDTH_ALICE, "alice\u00a0"])
async def test_different_spellings_of_name_and_codes_are_accepted(api: Api, clock: Clock, name: str) -> None:
    member = await api.member()
    code, recovery_code = code_at(member.secret, clock()), member.recovery_codes[0]
    typed = recovery_code.replace("-", " ").lower()
    assert (await reset_password(api, f"{code[:3]} {code[3:]}", typed, name))["__typename"] == "PasswordChanged"


async def test_a_refusal_does_not_reveal_its_reason_and_uses_up_neither_code(
    api: Api, clock: Clock, subtests: pytest.Subtests
) -> None:
    member, bob = await api.member(), await api.member("bob")
    code, recovery_code = code_at(member.secret, clock()), member.recovery_codes[0]
    answers = {
        "one-time code": (wrong_code(member.secret, clock()), recovery_code),
        "used one-time code": (code_at(member.secret, clock(), -2), recovery_code),
        "recovery code": (code, NO_RECOVERY_CODE),
        "both": ("", ""),
        "name": (code, recovery_code, "nobody"),
        "owner": (code, recovery_code, "bob"),
    }
    for wrong, answer in answers.items():
        with subtests.test(wrong):
            assert await reset_password(api, *answer) == REJECTED
            for session in (member, bob):
                assert (await user_of(api, session.access_token))["recoveryCodesLeft"] == 10
                assert (await api.login(session.username))["__typename"] == "OtpRequired"
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"


async def test_a_wrong_one_time_code_counts_once_the_recovery_code_is_right(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    challenge = await api.challenge()
    for _ in range(5):
        answer = await reset_password(api, wrong_code(member.secret, clock()), member.recovery_codes[0])
        assert answer == REJECTED
    assert await failures_counted(services) == 5
    assert (await events_of(services))["SIGN_IN_FAILED"] == 5
    # One-time codes wait now, here as at sign-in; then both are as good as before.
    assert await reset_with_both_codes(api, member) == REJECTED
    assert await api.verify_otp(challenge, code_at(member.secret, clock())) == rate_limited(60)
    clock.advance(60)
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"
    assert await failures_counted(services) == 0


async def test_after_a_reset_wrong_codes_are_counted_from_zero(run_app: RunApp, connect: Connect) -> None:
    async with run_app(otp_failures_before_disabling=4) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(3):
            await guess(api, member.secret)
        assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"
        challenge = await api.challenge(password=NEW_PASSWORD)
        for _ in range(3):
            await guess(api, member.secret, challenge)
        assert (await api.challenge(password=NEW_PASSWORD))["factors"] == ["TOTP", "RECOVERY_CODE"]


async def test_disabled_one_time_codes_reset_nothing(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(otp_failures_before_disabling=1) as app:
        api = connect(app)
        member = await api.member()
        await guess(api, member.secret)
        assert await reset_with_both_codes(api, member) == REJECTED
        recovered = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert recovered["__typename"] == "SignedIn"


async def test_a_replayed_code_is_recorded(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    used = code_at(member.secret, clock(), -1)
    assert await reset_password(api, used, member.recovery_codes[0]) == REJECTED
    assert (await events_of(services))["OTP_REPLAYED"] == 1


async def test_pending_and_disabled_accounts_can_not_be_reset(api: Api, services: Services, clock: Clock) -> None:
    member, registered = await api.member(), await api.register("bob")
    code = code_at(registered["enrollment"]["secret"], clock())
    assert await reset_password(api, code, NO_RECOVERY_CODE, "bob") == REJECTED
    assert await events_of(services, "bob") == {"REGISTERED": 1}
    await execute(services, "UPDATE mfa_users SET disabled_at = created_at WHERE username = 'alice'")
    assert await reset_with_both_codes(api, member) == REJECTED
    await execute(services, "UPDATE mfa_users SET disabled_at = NULL")
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"


async def test_a_new_password_must_meet_the_rules(api: Api, subtests: pytest.Subtests) -> None:
    for known in (False, True):
        if known:
            await api.member()
        for password, code in (
            ("x7#kQ2z", "TOO_SHORT"),
            ("x7#kQ2z " * 17, "TOO_LONG"),
            ("password1", "TOO_COMMON"),
            ("ALICE rows nine boats", "CONTAINS_USERNAME"),
        ):
            with subtests.test(known=known, code=code):
                answer = await reset_password(api, "000000", NO_RECOVERY_CODE, new_password=password)
                assert answer == invalid(code)


async def test_a_refused_password_uses_up_no_code(api: Api) -> None:
    member = await api.member()
    assert await reset_with_both_codes(api, member, new_password="password1") == invalid("TOO_COMMON")
    assert (await reset_with_both_codes(api, member, new_password=PASSWORD))["__typename"] == "PasswordChanged"


async def test_an_invalid_new_password_is_reported_without_counting(api: Api, services: Services) -> None:
    for _ in range(40):
        await reset_password(api, "000000", NO_RECOVERY_CODE, new_password="short")
    assert await scalar(services, "SELECT count(*) FROM mfa_throttles") == 0


async def test_a_success_is_not_counted(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(login_attempts=1) as app:
        api = connect(app)
        member = await api.member()
        for recovery_code in member.recovery_codes[:3]:
            changed = await reset_password(api, code_at(member.secret, clock()), recovery_code)
            assert changed["__typename"] == "PasswordChanged"
            clock.advance(30)


async def test_after_ten_refused_resets_each_doubles_the_wait(api: Api, clock: Clock) -> None:
    member = await api.member()
    for _ in range(10):
        assert await reset_password(api, "000000", NO_RECOVERY_CODE) == REJECTED
    for wait in (1, 2, 4):
        assert await reset_with_both_codes(api, member) == rate_limited(wait)
        clock.advance(wait)
        assert await reset_password(api, "000000", NO_RECOVERY_CODE) == REJECTED
    clock.advance(8)
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"


async def test_an_address_has_thirty_refused_resets_over_all_names(api: Api) -> None:
    for number in range(30):
        assert await reset_password(api, "000000", NO_RECOVERY_CODE, f"user{number}") == REJECTED
    assert await reset_password(api, "000000", NO_RECOVERY_CODE, "another") == rate_limited(300)


async def test_sign_ins_and_resets_are_counted_separately(run_app: RunApp, connect: Connect) -> None:
    async with run_app(login_attempts=2, login_address_attempts=2) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(2):
            assert await reset_password(api, "000000", NO_RECOVERY_CODE) == REJECTED
        assert (await reset_password(api, "000000", NO_RECOVERY_CODE))["__typename"] == "RateLimited"
        assert (await api.login())["__typename"] == "OtpRequired"
        elsewhere = connect(app, "10.0.0.2")
        for _ in range(2):
            await elsewhere.login(password="wrong")
        assert (await elsewhere.login(password="wrong"))["__typename"] == "RateLimited"
        assert (await reset_with_both_codes(elsewhere, member))["__typename"] == "PasswordChanged"


async def test_unlock_by_an_operator_clears_the_waits(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(login_attempts=1, login_stranger_attempts=1) as app:
        api, stranger = connect(app), connect(app, "10.0.0.2")
        member = await api.member()
        for client in (api, stranger):
            await reset_password(client, "000000", NO_RECOVERY_CODE)
            assert (await reset_password(client, "000000", NO_RECOVERY_CODE))["__typename"] == "RateLimited"
        assert await operators.unlock(app.state.services, "alice")
        another = connect(app, "10.0.0.3")
        assert await reset_password(another, "000000", NO_RECOVERY_CODE) == REJECTED
        assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"


async def test_a_reset_that_finds_no_hashing_slot_is_not_counted(run_app: RunApp, connect: Connect) -> None:
    async with run_app(hashing_slots=1) as app:
        services: Services = app.state.services
        async with slots_taken(services.hashing, "192.0.2.1"):
            refused = await reset_password(connect(app), "000000", NO_RECOVERY_CODE)
        assert refused["__typename"] == "RateLimited"
        assert await scalar(services, "SELECT count(*) FROM mfa_throttles") == 0

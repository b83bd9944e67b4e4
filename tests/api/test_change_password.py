"""changePassword."""

import json

import pytest

from graphql_mfa.services import Services
from tests.account import document
from tests.api.answers import SENTENCE, failure, rate_limited
from tests.api.scenarios import NEW_PASSWORD, RunApp, change_password, reauthenticate
from tests.api_client import PASSWORD, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import events_of, scalar
from tests.slots import slots_taken

WRONG = failure("InvalidCredentials")


def invalid(code: str) -> Result:
    return failure(
        "InvalidInput", fields=[{"__typename": "FieldError", "field": "newPassword", "code": code, "message": SENTENCE}]
    )


async def assert_unchanged(api: Api) -> None:
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_the_new_password_replaces_the_old_one(api: Api, services: Services) -> None:
    member = await api.member()
    changed = await change_password(api, member.access_token)
    assert changed == {"__typename": "PasswordChanged", "sessionsEnded": 0}
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.login(password=NEW_PASSWORD))["__typename"] == "OtpRequired"
    events = await events_of(services)
    assert (events["PASSWORD_CHANGED"], events["FACTOR_ENABLED"]) == (1, 0)


async def test_the_other_sessions_end_and_this_one_continues(api: Api) -> None:
    member, bob = await api.member(), await api.member("bob")
    others = [await api.verify_recovery_code(await api.challenge(), code) for code in member.recovery_codes[:3]]
    assert (await change_password(api, member.access_token))["sessionsEnded"] == 3
    for other in others:
        assert await api.me(other["tokens"]["accessToken"]) is None
        assert (await api.refresh(other["tokens"]["refreshToken"]))["__typename"] == "SessionExpired"
    for session in (member, bob):
        assert await api.me(session.access_token) is not None
        assert (await api.refresh(session.refresh_token))["__typename"] == "SignedIn"


async def test_a_wrong_current_password_changes_nothing_and_is_recorded(api: Api, services: Services) -> None:
    member = await api.member()
    for wrong in ("", "wrong", PASSWORD.upper(), f"{PASSWORD}\0", "x" * 1000):
        assert await change_password(api, member.access_token, wrong) == WRONG
    await assert_unchanged(api)
    assert (await events_of(services))["SIGN_IN_FAILED"] == 5


async def test_a_new_password_must_meet_the_rules(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()

    for password, code in [
        ("x7#kQ2z", "TOO_SHORT"),
        ("x7#kQ2z " * 17, "TOO_LONG"),
        ("password1", "TOO_COMMON"),
        ("alice rows nine boats", "CONTAINS_USERNAME"),
        (PASSWORD, "UNCHANGED"),
        (PASSWORD.replace("c", "\uff43"), "UNCHANGED"),  # the old one in full width,
    ]:
        with subtests.test(password=password, code=code):
            assert await change_password(api, member.access_token, new_password=password) == invalid(code)
            await assert_unchanged(api)
    assert (await change_password(api, member.access_token))["__typename"] == "PasswordChanged"


@pytest.mark.parametrize(
    ("field", "member"), [("newPassword", "InvalidInput"), ("currentPassword", "InvalidCredentials")]
)
async def test_a_password_of_invalid_text_is_refused(api: Api, field: str, member: str) -> None:
    token = (await api.member()).access_token
    passwords = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD} | {field: PASSWORD + "\ud800"}
    body = json.dumps({"query": document("changePassword"), "variables": {"input": passwords}})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    response = await api.http.post("/graphql", content=body, headers=headers)
    assert response.json()["data"]["changePassword"]["__typename"] == member


@pytest.mark.parametrize("password", ["password1", "wrong battery horse staple"])
async def test_common_and_unchanged_passwords_are_reported_only_after_the_right_current_password(
    api: Api, password: str
) -> None:
    """A wrong current password reveals neither the new one's score nor that both are the same."""
    member = await api.member()
    assert await change_password(api, member.access_token, "wrong battery horse staple", password) == WRONG


async def test_an_earlier_password_may_be_used_again(api: Api) -> None:
    member = await api.member()
    await change_password(api, member.access_token)
    back = await change_password(api, member.access_token, NEW_PASSWORD, PASSWORD)
    assert back["__typename"] == "PasswordChanged"


async def test_after_ten_wrong_passwords_each_doubles_the_wait(api: Api, clock: Clock) -> None:
    member = await api.member()
    for _ in range(10):
        assert await change_password(api, member.access_token, "wrong") == WRONG
    for wait in (1, 2, 4, 8):
        assert await change_password(api, member.access_token) == rate_limited(wait)
        clock.advance(wait)
        assert await change_password(api, member.access_token, "wrong") == WRONG
    clock.advance(16)
    assert (await change_password(api, member.access_token))["__typename"] == "PasswordChanged"


async def test_an_attempt_during_a_wait_is_not_counted(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(login_attempts=1, account_changes=2) as app:
        api = connect(app)
        member = await api.member()
        assert await change_password(api, member.access_token, "wrong") == WRONG
        for _ in range(5):
            assert await change_password(api, member.access_token) == rate_limited(1)
        clock.advance(1)
        assert (await change_password(api, member.access_token))["__typename"] == "PasswordChanged"


async def test_only_wrong_current_passwords_count_as_failures(run_app: RunApp, connect: Connect) -> None:
    async with run_app(login_attempts=2) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(3):
            assert await change_password(api, member.access_token, new_password="short") == invalid("TOO_SHORT")
            assert await change_password(api, member.access_token, new_password="password1") == invalid("TOO_COMMON")
            await change_password(api, member.access_token)
            changed = await change_password(api, member.access_token, NEW_PASSWORD, PASSWORD)
            assert changed["__typename"] == "PasswordChanged"


async def test_errors_are_reported_in_a_fixed_order(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    """Session, freshness, the new password's form; only then that every slot before the hashing threads is taken."""
    async with run_app(hashing_slots=2) as app:
        api, services = connect(app), app.state.services
        member = await api.member()
        counted = await scalar(services, "SELECT sum(attempts) FROM mfa_throttles")
        async with slots_taken(services.hashing, "192.0.2.1", "192.0.2.2"):
            assert (await change_password(api, member.access_token))["__typename"] == "RateLimited"
            assert await scalar(services, "SELECT sum(attempts) FROM mfa_throttles") == counted
            assert await change_password(api, member.access_token, new_password="short") == invalid("TOO_SHORT")
            clock.advance(300)
            stale = await change_password(api, member.access_token, new_password="short")
            assert stale["__typename"] == "ReauthenticationRequired"
            nobody = await change_password(api, "nonsense", new_password="short")
            assert nobody["__typename"] == "NotAuthenticated"


async def test_a_new_password_enables_one_time_codes_again(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(otp_failures_before_disabling=2) as app:
        api, services = connect(app), app.state.services
        member = await api.member()
        challenge = await api.challenge()
        for _ in range(2):
            await api.verify_otp(challenge, wrong_code(member.secret, clock()))
        assert (await api.challenge())["factors"] == ["RECOVERY_CODE"]
        recovered = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
        changed = await change_password(api, recovered["tokens"]["accessToken"])
        assert changed["__typename"] == "PasswordChanged"
        # Wrong ones of before count no more.
        challenge = await api.challenge(password=NEW_PASSWORD)
        assert challenge["factors"] == ["TOTP", "RECOVERY_CODE"]
        wrong = await api.verify_otp(challenge, wrong_code(member.secret, clock()))
        assert wrong["__typename"] == "InvalidOtp"
        assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"
        events = await events_of(services)
        assert (events["FACTOR_DISABLED"], events["FACTOR_ENABLED"], events["PASSWORD_CHANGED"]) == (1, 1, 1)


async def test_a_new_password_does_not_reset_the_count_of_wrong_codes(run_app: RunApp, connect: Connect) -> None:
    """Otherwise a stolen session would give its thief as many guesses at codes as there are passwords."""
    async with run_app(otp_failures_before_disabling=2) as app:
        api = connect(app)
        member = await api.member()
        wrong = wrong_code(member.secret, api.clock())
        await reauthenticate(api, member.access_token, otp=wrong)
        await change_password(api, member.access_token)
        await reauthenticate(api, member.access_token, otp=wrong)
        off = await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))
    assert off == failure("FactorDisabled")

"""beginPasskeyReauthentication, and reauthenticate with a passkey; changePassword without the current password."""

from typing import Any

import pytest

from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api.answers import CHALLENGE_EXPIRED, failure
from tests.api.scenarios import NEW_PASSWORD, RunApp, change_password, key_of_member, reauthenticate
from tests.api.test_finish_passkey_login import session_of
from tests.api.test_reauthenticate import claims_of
from tests.api_client import PASSWORD, Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.passkeys import PASSKEYS, added, answer, enroll, passkeys_of, sign_in, step_up, with_passkeys
from tests.security.attacks import WRONG_PASSWORD, events_of

pytestmark = [on_each_engine, with_passkeys]

DAY = 86_400


async def token_of(api: Api, key: SoftwarePasskey, challenge: Result | None = None) -> str:
    """The access token of a new session."""
    token: str = (await sign_in(api, key, challenge))["tokens"]["accessToken"]
    return token


async def is_fresh(api: Api, token: str) -> bool:
    """Whether the session may do what needs a recent factor."""
    answered = await act(api, "regenerateRecoveryCodes", token)
    return bool(answered["__typename"] == "RecoveryCodes")


# ------------------------------------------------------------------------------------------------------ reauthenticate


async def test_a_passkey_renews_the_session(api: Api, clock: Clock) -> None:
    member, key = await api.member(), SoftwarePasskey(synced=True)
    await added(api, member.access_token, key)
    clock.advance(300)
    stale = await act(api, "regenerateRecoveryCodes", member.access_token)
    assert stale == failure("ReauthenticationRequired", factors=["TOTP", "PASSKEY", "RECOVERY_CODE"])
    renewed = await step_up(api, member.access_token, key)
    assert renewed["__typename"] == "Reauthenticated"
    claims = claims_of(renewed["accessToken"])
    assert claims["amr"] == ["pwd", "otp", "swk", "user", "mfa"]
    assert claims["auth_time"] == int(clock().timestamp())
    session = await session_of(api, renewed["accessToken"])
    assert (session["factors"], session["authenticatedAt"]) == (["TOTP", "PASSKEY"], clock().isoformat())
    assert await is_fresh(api, member.access_token)
    refreshed = await api.refresh(member.refresh_token)
    assert claims_of(refreshed["tokens"]["accessToken"])["amr"] == claims["amr"]


async def test_a_security_key_without_a_pin_renews_a_session_that_a_password_opened(api: Api, clock: Clock) -> None:
    member, key = await api.member(), SoftwarePasskey(verifies_user=False)
    await added(api, member.access_token, key)
    begun = await act(api, "beginPasskeyReauthentication", member.access_token)
    assert begun["publicKey"]["userVerification"] == "preferred"
    clock.advance(280)
    renewed = await act(api, "reauthenticate", member.access_token, input={"passkey": answer(begun, key)})
    assert claims_of(renewed["accessToken"])["amr"] == ["pwd", "otp", "hwk", "mfa"]


async def test_a_session_without_a_password_is_renewed_only_by_a_passkey_that_verifies_its_user(
    api: Api, clock: Clock
) -> None:
    key = await key_of_member(api)
    token = await token_of(api, key)
    clock.advance(301)
    begun = await act(api, "beginPasskeyReauthentication", token)
    assert begun["publicKey"]["userVerification"] == "required"
    key.verifies_user = False
    assert await step_up(api, token, key) == failure("UserVerificationRequired")
    assert not await is_fresh(api, token)
    key.verifies_user = True
    assert claims_of((await step_up(api, token, key))["accessToken"])["amr"] == ["hwk", "user", "mfa"]
    assert await is_fresh(api, token)


async def test_a_session_without_a_password_is_offered_only_passkeys_that_verify_their_user(
    api: Api, clock: Clock
) -> None:
    key = await key_of_member(api)
    token = await token_of(api, key)
    key.verifies_user = False
    by_password = await token_of(api, key, await api.challenge())
    clock.advance(301)
    offered = {}
    for session in (token, by_password):
        required = await act(api, "regenerateRecoveryCodes", session)
        offered[session] = required["factors"]
    assert offered == {token: ["TOTP", "RECOVERY_CODE"], by_password: ["TOTP", "PASSKEY", "RECOVERY_CODE"]}


async def test_an_account_with_a_passkey_alone_is_never_offered_a_one_time_code(api: Api, clock: Clock) -> None:
    key = SoftwarePasskey()
    confirmed = await enroll(api, (await api.register())["challenge"], key)
    token = confirmed["tokens"]["accessToken"]
    clock.advance(301)
    required = await act(api, "regenerateRecoveryCodes", token)
    assert required == failure("ReauthenticationRequired", factors=["PASSKEY", "RECOVERY_CODE"])
    assert (await reauthenticate(api, token, otp="000000"))["__typename"] == "InvalidOtp"
    assert (await step_up(api, token, key))["__typename"] == "Reauthenticated"


async def test_a_ceremony_renews_only_the_session_that_began_it(api: Api) -> None:
    key = await key_of_member(api)
    first, second = await token_of(api, key), await token_of(api, key)
    given = answer(await act(api, "beginPasskeyReauthentication", first), key)
    assert await act(api, "reauthenticate", second, input={"passkey": given}) == CHALLENGE_EXPIRED
    renewed = await act(api, "reauthenticate", first, input={"passkey": given})
    assert renewed["__typename"] == "Reauthenticated"
    assert await act(api, "reauthenticate", first, input={"passkey": given}) == CHALLENGE_EXPIRED


async def test_a_ceremony_for_signing_in_does_not_renew_a_session(api: Api) -> None:
    key = await key_of_member(api)
    token = await token_of(api, key)
    given = answer(await act(api, "beginPasskeyLogin"), key)
    assert await act(api, "reauthenticate", token, input={"passkey": given}) == CHALLENGE_EXPIRED
    assert (await act(api, "finishPasskeyLogin", input=given))["__typename"] == "SignedIn"


async def test_a_refused_passkey_is_recorded(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    token = await token_of(api, key)
    assert await step_up(api, token, SoftwarePasskey()) == failure("PasskeyRejected")
    assert (await events_of(services))["SIGN_IN_FAILED"] == 1


async def test_while_passkeys_are_off_none_renews_a_session(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        member, key = await api.member(), SoftwarePasskey()
        await added(api, member.access_token, key)
        begun = await act(api, "beginPasskeyReauthentication", member.access_token)
    clock.advance(280)
    async with run_app() as app:
        api = connect(app)
        again = await act(api, "beginPasskeyReauthentication", member.access_token)
        assert again == failure("PasskeyUnavailable")
        late = await act(api, "reauthenticate", member.access_token, input={"passkey": answer(begun, key)})
        assert late == CHALLENGE_EXPIRED
        required = await act(api, "regenerateRecoveryCodes", member.access_token)
        assert required["factors"] == ["TOTP", "RECOVERY_CODE"]


# ------------------------------------------------------------------------------------------------------ changePassword


async def replace_forgotten(api: Api, token: str, **input: Any) -> Result:
    """Set a new password without the current one."""
    return await act(api, "changePassword", token, input={"newPassword": NEW_PASSWORD, **input})


@pytest.mark.parametrize("input", [{}, {"currentPassword": None}])
async def test_a_passkey_that_is_a_day_old_replaces_the_current_password(
    api: Api, clock: Clock, services: Services, input: dict[str, None]
) -> None:
    key = await key_of_member(api)
    clock.advance(DAY)
    other, token = await token_of(api, key), await token_of(api, key)
    changed = await replace_forgotten(api, token, **input)
    assert (changed["__typename"], changed["sessionsEnded"]) == ("PasswordChanged", 1)
    assert await api.me(other) is None
    assert await api.me(token) is not None
    assert (await api.login(password=PASSWORD))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=NEW_PASSWORD))["__typename"] == "OtpRequired"
    assert (await events_of(services))["PASSWORD_CHANGED"] == 1


async def test_a_session_that_a_password_opened_can_replace_it_after_a_step_up_with_the_passkey(
    api: Api, clock: Clock
) -> None:
    member, key = await api.member(), SoftwarePasskey()
    await added(api, member.access_token, key)
    clock.advance(DAY)
    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    token = signed_in["tokens"]["accessToken"]
    passkey_needed = failure("ReauthenticationRequired", factors=["PASSKEY"])
    assert await replace_forgotten(api, token) == passkey_needed
    token = (await step_up(api, token, key))["accessToken"]
    assert (await replace_forgotten(api, token))["__typename"] == "PasswordChanged"


async def test_the_age_that_a_passkey_needs_is_a_setting(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(passkey_trusted_after_seconds=100, **PASSKEYS) as app:
        api = connect(app)
        key = await key_of_member(api)
        clock.advance(99)
        token = await token_of(api, key)
        assert await replace_forgotten(api, token) == failure("InvalidCredentials")
        clock.advance(1)
        assert (await replace_forgotten(api, token))["__typename"] == "PasswordChanged"


async def test_a_missing_current_password_counts_as_a_wrong_one(run_app: RunApp, connect: Connect) -> None:
    async with run_app(login_attempts=1, **PASSKEYS) as app:
        api = connect(app)
        token = await token_of(api, await key_of_member(api))
        assert await replace_forgotten(api, token) == failure("InvalidCredentials")
        assert (await replace_forgotten(api, token))["__typename"] == "RateLimited"
        assert (await events_of(app.state.services))["SIGN_IN_FAILED"] == 1


async def test_asking_for_a_passkey_is_not_counted_as_a_wrong_password(run_app: RunApp, connect: Connect) -> None:
    async with run_app(login_attempts=1, **PASSKEYS) as app:
        api = connect(app)
        key = await key_of_member(api)
        api.clock.advance(DAY)
        key.verifies_user = False
        token = await token_of(api, key, await api.challenge())
        other = SoftwarePasskey()
        await added(api, token, other)
        key.verifies_user = True
        await sign_in(api, key)
        for _ in range(3):
            refused = await replace_forgotten(api, token)
            assert refused == failure("ReauthenticationRequired", factors=["PASSKEY"])
        await step_up(api, token, other)
        assert (await replace_forgotten(api, token))["__typename"] == "ReauthenticationRequired"
        await step_up(api, token, key)
        assert (await replace_forgotten(api, token))["__typename"] == "PasswordChanged"


async def test_a_weak_new_password_is_refused_without_the_current_one_too(api: Api, clock: Clock) -> None:
    key = await key_of_member(api)
    clock.advance(DAY)
    token = await token_of(api, key)
    for weak, code in [("short", "TOO_SHORT"), ("password1", "TOO_COMMON")]:
        refused = await act(api, "changePassword", token, input={"newPassword": weak})
        assert [(field["field"], field["code"]) for field in refused["fields"]] == [("newPassword", code)]
    assert (await replace_forgotten(api, token))["__typename"] == "PasswordChanged"


async def test_a_current_password_that_is_given_is_compared(api: Api, clock: Clock) -> None:
    key = await key_of_member(api)
    clock.advance(DAY)
    token = await token_of(api, key)
    assert await change_password(api, token, WRONG_PASSWORD) == failure("InvalidCredentials")
    assert (await change_password(api, token, PASSWORD))["__typename"] == "PasswordChanged"


async def test_a_new_password_ends_the_ceremonies_of_its_session(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey()
    await added(api, member.access_token, key)
    step = await act(api, "beginPasskeyReauthentication", member.access_token)
    another = await act(api, "beginPasskeyRegistration", member.access_token)
    await change_password(api, member.access_token)
    late = await act(api, "reauthenticate", member.access_token, input={"passkey": answer(step, key)})
    assert late == CHALLENGE_EXPIRED
    given = answer(another, SoftwarePasskey())
    assert await act(api, "finishPasskeyRegistration", member.access_token, input=given) == CHALLENGE_EXPIRED
    assert len(await passkeys_of(api, member.access_token)) == 1

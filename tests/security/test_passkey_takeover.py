"""Attack: take an account over for good with a stolen session, or leave its owner without a factor."""

import pytest

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api.scenarios import NEW_PASSWORD, NO_ID
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.devices import devices_of, first_device, remove
from tests.passkeys import PASSKEYS, add_passkey, answer, sign_in, step_up, with_passkeys
from tests.security.attacks import events_of, scalar, sessions_of
from tests.security.passkey_attacks import (
    DAY,
    RunApp,
    begin_adding,
    finish_adding,
    member_with_passkey,
    passkeys_of,
    remove_passkey,
    token_of,
)

pytestmark = with_passkeys


async def replace_password(api: Api, token: str, new_password: str = NEW_PASSWORD) -> Result:
    """Without the current one."""
    return await act(api, "changePassword", token, input={"newPassword": new_password})


async def refreshed(api: Api, opened: Result) -> str:
    """Another access token of that session."""
    return token_of(await api.refresh(opened["tokens"]["refreshToken"]))


# ------------------------------------------------------------------------------------------------------ the password


async def test_a_stolen_fresh_session_adds_its_own_passkey_and_changes_the_password(
    api: Api, clock: Clock, services: Services
) -> None:
    """Not for a day: by then its owner knows from the event. Until then it is a wrong current password."""
    stolen = await api.member()
    thiefs = SoftwarePasskey()
    assert (await add_passkey(api, stolen.access_token, thiefs))["__typename"] == "PasskeyAdded"
    alone = await sign_in(api, thiefs)
    assert (await step_up(api, stolen.access_token, thiefs))["__typename"] == "Reauthenticated"
    for token in (stolen.access_token, token_of(alone)):
        assert (await replace_password(api, token))["__typename"] == "InvalidCredentials"
    clock.advance(DAY - 31)
    alone = await sign_in(api, thiefs)
    assert (await replace_password(api, token_of(alone)))["__typename"] == "InvalidCredentials"
    assert (await api.login())["__typename"] == "OtpRequired"
    clock.advance(31)
    alone = await sign_in(api, thiefs)
    assert (await replace_password(api, token_of(alone)))["__typename"] == "PasswordChanged"
    assert (await events_of(services))["PASSKEY_ADDED"] == 1


async def test_refusals_without_the_password_are_counted(api: Api) -> None:
    """Like wrong current passwords, and not where an old enough passkey can be verified."""
    member, _ = await member_with_passkey(api)
    outcomes = [(await replace_password(api, member.access_token))["__typename"] for _ in range(11)]
    assert outcomes == ["InvalidCredentials"] * 10 + ["RateLimited"]


async def test_a_passkey_older_than_a_day_vouches_for_another_factor(api: Api, clock: Clock) -> None:
    """The session verified another factor last, or the passkey did not verify its user, or it was too long ago."""
    member, key = await member_with_passkey(api)
    clock.advance(DAY)
    challenge = await api.challenge()
    by_app = token_of(await api.verify_otp(challenge, code_at(member.secret, clock())))
    assert (await replace_password(api, by_app))["factors"] == ["PASSKEY"]
    young = SoftwarePasskey()
    await add_passkey(api, by_app, young)
    assert (await step_up(api, by_app, young))["__typename"] == "Reauthenticated"
    assert (await replace_password(api, by_app))["factors"] == ["PASSKEY"]
    opened = await sign_in(api, key)
    clock.advance(301)
    required = await replace_password(api, token_of(opened))
    assert required["__typename"] == "ReauthenticationRequired"
    assert (await step_up(api, token_of(opened), young))["__typename"] == "Reauthenticated"
    assert (await replace_password(api, token_of(opened)))["factors"] == ["PASSKEY"]
    key.verifies_user = False
    by_password = token_of(await sign_in(api, key, await api.challenge()))
    assert (await replace_password(api, by_password))["__typename"] == "InvalidCredentials"
    key.verifies_user = True
    assert (await step_up(api, by_password, key))["__typename"] == "Reauthenticated"
    assert (await replace_password(api, by_password))["__typename"] == "PasswordChanged"


async def test_a_recovery_code_after_the_passkey_vouches_for_nothing(api: Api, clock: Clock) -> None:
    member, key = await member_with_passkey(api)
    clock.advance(DAY)
    token = token_of(await sign_in(api, key))
    code = {"recoveryCode": member.recovery_codes[0]}
    assert (await act(api, "reauthenticate", token, input=code))["__typename"] == "Reauthenticated"
    assert (await replace_password(api, token))["factors"] == ["PASSKEY"]


async def test_a_password_changed_by_a_passkey_that_was_removed_meanwhile(
    api: Api, clock: Clock, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner removes it while the new password is hashed, or another factor is verified in its place."""
    member, key = await member_with_passkey(api)
    clock.advance(DAY)
    await add_passkey(api, token_of(await sign_in(api, key)), SoftwarePasskey())
    thief = token_of(await sign_in(api, key))
    code = {"recoveryCode": member.recovery_codes[0]}
    run = services.hashing.run

    async def run_while_another_factor_is_verified(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(services.hashing, "run", run)
        assert (await act(api, "reauthenticate", thief, input=code))["__typename"] == "Reauthenticated"
        return await run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(services.hashing, "run", run_while_another_factor_is_verified)
    assert (await replace_password(api, thief))["__typename"] == "InvalidCredentials"
    assert (await step_up(api, thief, key))["__typename"] == "Reauthenticated"
    passkey = (await passkeys_of(api, thief))[0]["id"]

    async def run_while_it_is_removed(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(services.hashing, "run", run)
        assert (await remove_passkey(api, thief, passkey))["__typename"] == "FactorRemoved"
        return await run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(services.hashing, "run", run_while_it_is_removed)
    assert (await replace_password(api, thief))["__typename"] == "InvalidCredentials"
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_a_password_changed_by_a_passkey_ends_the_other_sessions(api: Api, clock: Clock) -> None:
    _, key = await member_with_passkey(api)
    clock.advance(DAY)
    other = token_of(await sign_in(api, key))
    token = token_of(await sign_in(api, key))
    assert (await replace_password(api, token))["sessionsEnded"] == 1
    assert await api.me(other) is None
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.login(password=NEW_PASSWORD))["__typename"] == "OtpRequired"


async def test_a_null_current_password_is_no_password(api: Api) -> None:
    member = await api.member()
    for given in ({"currentPassword": None}, {"currentPassword": ""}, {}):
        outcome = await act(api, "changePassword", member.access_token, input={"newPassword": NEW_PASSWORD, **given})
        assert outcome["__typename"] == "InvalidCredentials"


# -------------------------------------------------------------------------------------------------------- the factors


async def test_a_stale_session_adds_or_removes_a_passkey(api: Api, clock: Clock) -> None:
    member, _ = await member_with_passkey(api)
    (passkey,) = await passkeys_of(api, member.access_token)
    clock.advance(301)
    stolen = token_of(await api.refresh(member.refresh_token))
    for token in (member.access_token, stolen):
        assert (await begin_adding(api, token))["__typename"] == "ReauthenticationRequired"
        assert (await remove_passkey(api, token, passkey["id"]))["__typename"] == "ReauthenticationRequired"


async def test_a_passkey_of_somebody_else_removed_or_renamed(api: Api) -> None:
    member, key = await member_with_passkey(api)
    (passkey,) = await passkeys_of(api, member.access_token)
    mallory = await api.member("mallory")
    for passkey_id in (passkey["id"], NO_ID, "nonsense"):
        assert (await remove_passkey(api, mallory.access_token, passkey_id))["__typename"] == "NotFound"
        renamed = await act(api, "renamePasskey", mallory.access_token, input={"id": passkey_id, "name": "mine"})
        assert renamed["__typename"] == "NotFound"
    assert await passkeys_of(api, member.access_token) == [passkey]
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


async def test_the_last_factor_of_an_account_removed(api: Api, clock: Clock) -> None:
    """Apps and passkeys count together, recovery codes and unconfirmed apps don't."""
    member, key = await member_with_passkey(api)
    token = token_of(await sign_in(api, key))
    assert (await remove(api, token, await first_device(api, token)))["__typename"] == "FactorRemoved"
    (passkey,) = await passkeys_of(api, token)
    assert (await act(api, "addTotpDevice", token, input={"name": "unconfirmed"}))["__typename"] == "TotpDeviceAdded"
    assert (await remove_passkey(api, token, passkey["id"]))["__typename"] == "LastFactor"
    assert (await act(api, "regenerateRecoveryCodes", token))["__typename"] == "RecoveryCodes"
    assert (await remove_passkey(api, token, passkey["id"]))["__typename"] == "LastFactor"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"
    assert member.username == "alice"


async def test_the_last_app_removed_while_passkeys_are_off(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(**PASSKEYS) as app:
        member, _ = await member_with_passkey(connect(app))
    async with run_app() as app:
        api = connect(app)
        device = await first_device(api, member.access_token)
        assert (await remove(api, member.access_token, device))["__typename"] == "LastFactor"


async def test_sessions_of_a_removed_passkey(api: Api) -> None:
    """Those that it opened, or verified last. The one that removes it has to verify another factor."""
    member, key = await member_with_passkey(api)
    by_app = token_of(await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock())))
    alone = token_of(await sign_in(api, key))
    second = token_of(await sign_in(api, key, await api.challenge()))
    assert (await step_up(api, by_app, key))["__typename"] == "Reauthenticated"
    remover = token_of(await sign_in(api, key))
    (passkey,) = await passkeys_of(api, remover)

    removed = await remove_passkey(api, remover, passkey["id"])

    assert (removed["__typename"], removed["sessionsEnded"]) == ("FactorRemoved", 3)
    assert [await api.me(token) for token in (alone, second, by_app)] == [None] * 3
    assert await api.me(member.access_token) is not None
    required = await act(api, "regenerateRecoveryCodes", remover)
    assert (required["__typename"], required["factors"]) == ("ReauthenticationRequired", ["TOTP", "RECOVERY_CODE"])


async def test_more_passkeys_than_an_account_can_have(api: Api, services: Services) -> None:
    """Begun when there was room, too."""
    member, _ = await member_with_passkey(api)
    begun = [await begin_adding(api, member.access_token) for _ in range(2)]
    for _ in range(8):
        assert (await add_passkey(api, member.access_token, SoftwarePasskey()))["__typename"] == "PasskeyAdded"
    outcomes = [await finish_adding(api, member.access_token, answer(each, SoftwarePasskey())) for each in begun]
    assert [outcome["__typename"] for outcome in outcomes] == ["PasskeyAdded", "TooManyPasskeys"]
    assert (await begin_adding(api, member.access_token))["__typename"] == "TooManyPasskeys"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 10


async def test_a_passkey_that_outlives_the_operators_reset(api: Api, services: Services) -> None:
    """Of a lost laptop, or of the thief for whom the operator resets the account."""
    _, key = await member_with_passkey(api)
    await operators.reset_mfa(services, "alice")
    assert (await sign_in(api, key))["__typename"] == "PasskeyUnknown"
    challenge = await api.challenge()
    for code in (None, "", "0000-0000-0000-0000-0000-0000"):
        refused = await act(
            api,
            "beginPasskeyRegistration",
            input={"challengeToken": challenge["token"], "enrollmentCode": code},
        )
        assert refused["__typename"] == "EnrollmentCodeRequired"
    assert await sessions_of(services) == 0


async def test_a_passkey_that_outlives_its_account(api: Api, services: Services) -> None:
    _, key = await member_with_passkey(api)
    await operators.delete(services, "alice")
    await operators.release_name(services, "alice")
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0
    await api.member()
    assert (await sign_in(api, key))["__typename"] == "PasskeyUnknown"


async def test_an_app_that_was_never_confirmed_beside_the_first_passkey(api: Api, clock: Clock) -> None:
    """The secret that the registration showed is no second factor of the account."""
    registered = await api.register()
    secret, key = registered["enrollment"]["secret"], SoftwarePasskey()
    begun = await act(api, "beginPasskeyRegistration", input={"challengeToken": registered["challenge"]["token"]})
    confirmed = await act(api, "finishPasskeyRegistration", input=answer(begun, key))
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    code = code_at(secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "InvalidOtp"
    assert await devices_of(api, token_of(confirmed)) == []


async def test_an_imported_account_enrolled_without_the_operators_code(api: Api, services: Services) -> None:
    """By somebody who knows its password."""
    await api.member()
    code = await operators.reset_mfa(services, "alice")
    challenge, key = await api.challenge(), SoftwarePasskey()
    for wrong in range(5):
        begun = await act(
            api,
            "beginPasskeyRegistration",
            input={"challengeToken": challenge["token"], "enrollmentCode": f"{wrong:04}-0000-0000-0000-0000-0000"},
        )
        assert begun["__typename"] == "EnrollmentCodeRequired"
    begun = await act(
        api, "beginPasskeyRegistration", input={"challengeToken": challenge["token"], "enrollmentCode": code}
    )
    assert begun["__typename"] == "ChallengeExpired"
    challenge = await api.challenge()
    begun = await act(
        api, "beginPasskeyRegistration", input={"challengeToken": challenge["token"], "enrollmentCode": code}
    )
    confirmed = await act(api, "finishPasskeyRegistration", input=answer(begun, key))
    assert confirmed["__typename"] == "EnrollmentConfirmed"

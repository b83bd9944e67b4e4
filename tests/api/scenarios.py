"""The shortest way to each member of each result union, over HTTP."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.services import Registration, Services
from graphql_mfa.testing import SoftwarePasskey
from tests import passkeys
from tests.account import act
from tests.api_client import PASSWORD, REFRESH_SESSION, Api, Member, Result
from tests.authenticator import code_at, wrong_code
from tests.devices import add, added, confirm, confirmed, first_device, remove, rename
from tests.passkeys import PASSKEYS
from tests.store import rows

NO_CHALLENGE = {"token": "mfac_" + "A" * 43}
NO_REFRESH_TOKEN = "mfar_" + "A" * 43
NO_PASSKEY_ANSWER = {"ceremonyToken": "mfap_" + "A" * 43, "credential": {}}
NO_ID = "00000000-0000-4000-8000-000000000000"
NO_RECOVERY_CODE = "0000-0000-0000-0000-0000-0000"
NEW_PASSWORD = "nine otters row upstream"

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Run = Callable[[Api, Services], Awaitable[Result]]


@dataclass(frozen=True)
class Scenario:
    """Steps whose last answer is the member, and the settings under which they are few."""

    run: Run
    settings: dict[str, Any]


SCENARIOS: dict[tuple[str, str], Scenario] = {}


def reaches(union: str, member: str, **settings: Any) -> Callable[[Run], Run]:
    """Enter a function in the table."""

    def enter(run: Run) -> Run:
        SCENARIOS[union, member] = Scenario(run, settings)
        return run

    return enter


async def import_user(services: Services, password: str, username: str = "alice", **columns: Any) -> None:
    """Import an account with a password and, unless `columns` say otherwise, without a second factor."""
    password_hash = await services.hashing.run(services.hashing.hasher.hash, password)
    columns = {"password_hash": password_hash} | columns
    await services.database.write(lambda connection: rows.add_user(connection, username, **columns))


# ---------------------------------------------------------------------------------------------------- registerUser


@reaches("RegisterUserResult", "RegisterUserSuccess")
@reaches("RegisterUserResult", "RegistrationClosed", registration_open=False)
async def register(api: Api, services: Services) -> Result:
    return await api.register()


@reaches("RegisterUserResult", "UsernameTaken")
@reaches("RegisterUserResult", "RateLimited", registration_attempts=1)
async def register_twice(api: Api, services: Services) -> Result:
    await api.register()
    return await api.register()


async def refuse(registration: Registration) -> str | None:
    """A host's condition that refuses every registration."""
    return "Only with an invitation."


@reaches("RegisterUserResult", "RegistrationRefused", before_registration=refuse)
async def register_without_an_invitation(api: Api, services: Services) -> Result:
    return await api.register()


@reaches("RegisterUserResult", "InvalidInput")
async def register_with_a_short_password(api: Api, services: Services) -> Result:
    return await api.register(password="short")


# ----------------------------------------------------------------------------------------------------------- login


@reaches("LoginResult", "OtpRequired")
async def log_in(api: Api, services: Services) -> Result:
    await api.register()
    return await api.login()


@reaches("LoginResult", "InvalidCredentials")
async def log_in_as_unknown_user(api: Api, services: Services) -> Result:
    return await api.login("nobody")


@reaches("LoginResult", "RateLimited", login_attempts=1)
async def log_in_as_unknown_user_twice(api: Api, services: Services) -> Result:
    await api.login("nobody")
    return await api.login("nobody")


# ------------------------------------------------------------------------------------------------------- verifyOtp


@reaches("VerifyOtpResult", "EnrollmentConfirmed")
async def confirm_an_enrollment(api: Api, services: Services) -> Result:
    return (await api.member()).session


@reaches("VerifyOtpResult", "SignedIn")
async def sign_in(api: Api, services: Services) -> Result:
    member = await api.member()
    return await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))


@reaches("VerifyOtpResult", "InvalidOtp")
async def answer_with_a_wrong_code(api: Api, services: Services) -> Result:
    member = await api.member()
    return await api.verify_otp(await api.challenge(), wrong_code(member.secret, api.clock()))


@reaches("VerifyOtpResult", "FactorDisabled", otp_failures_before_disabling=5)
@reaches("VerifyOtpResult", "RateLimited")
async def answer_after_five_wrong_codes(api: Api, services: Services) -> Result:
    member = await api.member()
    challenge = await api.challenge()
    for _ in range(5):
        await api.verify_otp(challenge, wrong_code(member.secret, api.clock()))
    return await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))


@reaches("VerifyOtpResult", "OtpAlreadyUsed")
async def answer_with_a_used_code(api: Api, services: Services) -> Result:
    member = await api.member()
    code = code_at(member.secret, api.clock())
    await api.verify_otp(await api.challenge(), code)
    return await api.verify_otp(await api.challenge(), code)


@reaches("VerifyOtpResult", "ChallengeExpired")
async def answer_no_challenge(api: Api, services: Services) -> Result:
    return await api.verify_otp(NO_CHALLENGE, "000000")


# ---------------------------------------------------------------------------------------------- verifyRecoveryCode


@reaches("VerifyRecoveryCodeResult", "SignedIn")
async def sign_in_with_a_recovery_code(api: Api, services: Services) -> Result:
    member = await api.member()
    return await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])


@reaches("VerifyRecoveryCodeResult", "InvalidRecoveryCode")
async def answer_with_no_recovery_code(api: Api, services: Services) -> Result:
    await api.member()
    return await api.verify_recovery_code(await api.challenge(), NO_RECOVERY_CODE)


@reaches("VerifyRecoveryCodeResult", "RateLimited")
async def answer_with_no_recovery_code_eleven_times(api: Api, services: Services) -> Result:
    await api.member()
    for _ in range(10):
        await api.verify_recovery_code(await api.challenge(), NO_RECOVERY_CODE)
    return await api.verify_recovery_code(await api.challenge(), NO_RECOVERY_CODE)


@reaches("VerifyRecoveryCodeResult", "ChallengeExpired")
async def answer_no_challenge_with_a_recovery_code(api: Api, services: Services) -> Result:
    return await api.verify_recovery_code(NO_CHALLENGE, NO_RECOVERY_CODE)


# ----------------------------------------------------------------------------------------------- restartEnrollment


@reaches("RestartEnrollmentResult", "EnrollmentRestarted")
async def restart(api: Api, services: Services) -> Result:
    registered = await api.register()
    return await api.restart_enrollment(registered["challenge"])


@reaches("RestartEnrollmentResult", "RateLimited")
async def restart_eleven_times(api: Api, services: Services) -> Result:
    restarted = await restart(api, services)
    for _ in range(9):
        restarted = await api.restart_enrollment(restarted["challenge"])
    return await api.restart_enrollment(restarted["challenge"])


@reaches("RestartEnrollmentResult", "EnrollmentCodeRequired")
async def restart_for_an_imported_account(api: Api, services: Services) -> Result:
    await import_user(services, "imported", enrollment_code_digest=enrollment_code_digest(new_recovery_code()))
    return await api.restart_enrollment(await api.challenge(password="imported"))


@reaches("RestartEnrollmentResult", "AlreadyEnrolled")
async def restart_what_was_confirmed(api: Api, services: Services) -> Result:
    await api.member()
    return await api.restart_enrollment(await api.challenge())


@reaches("RestartEnrollmentResult", "ChallengeExpired")
async def restart_without_a_challenge(api: Api, services: Services) -> Result:
    return await api.restart_enrollment(NO_CHALLENGE)


# -------------------------------------------------------------------------------------------------- refreshSession


@reaches("RefreshSessionResult", "SignedIn")
async def refresh(api: Api, services: Services) -> Result:
    member = await api.member()
    return await api.refresh(member.refresh_token)


@reaches("RefreshSessionResult", "SessionExpired")
async def refresh_nothing(api: Api, services: Services) -> Result:
    return await api.run(REFRESH_SESSION)


@reaches("RefreshSessionResult", "InvalidInput")
async def refresh_with_a_guessable_retry_key(api: Api, services: Services) -> Result:
    return await api.refresh(NO_REFRESH_TOKEN, "1")


@reaches("RefreshSessionResult", "RateLimited", refresh_attempts=1)
async def refresh_a_forged_token_twice(api: Api, services: Services) -> Result:
    await api.refresh(NO_REFRESH_TOKEN)
    return await api.refresh(NO_REFRESH_TOKEN)


# ---------------------------------------------------------------------------------------------------------- logout


@reaches("LogoutResult", "LogoutSuccess")
async def log_out(api: Api, services: Services) -> Result:
    member = await api.member()
    return await api.logout(member.access_token)


@reaches("LogoutResult", "NotAuthenticated")
async def log_out_without_a_session(api: Api, services: Services) -> Result:
    return await api.logout()


# -------------------------------------------------------------------------------------------------- reauthenticate


async def reauthenticate(api: Api, token: str | None, **answer: str) -> Result:
    """With `otp` or `recoveryCode`."""
    return await act(api, "reauthenticate", token, input=answer)


@reaches("ReauthenticateResult", "Reauthenticated")
async def verify_a_code_again(api: Api, services: Services) -> Result:
    member = await api.member()
    return await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))


@reaches("ReauthenticateResult", "InvalidOtp")
async def verify_a_wrong_code(api: Api, services: Services) -> Result:
    member = await api.member()
    return await reauthenticate(api, member.access_token, otp=wrong_code(member.secret, api.clock()))


@reaches("ReauthenticateResult", "OtpAlreadyUsed")
async def verify_the_code_that_signed_in(api: Api, services: Services) -> Result:
    member = await api.member()
    return await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock(), -1))


@reaches("ReauthenticateResult", "InvalidRecoveryCode")
async def verify_no_recovery_code(api: Api, services: Services) -> Result:
    member = await api.member()
    return await reauthenticate(api, member.access_token, recoveryCode=NO_RECOVERY_CODE)


@reaches("ReauthenticateResult", "FactorDisabled", otp_failures_before_disabling=5)
@reaches("ReauthenticateResult", "RateLimited")
async def verify_a_code_after_five_wrong_ones(api: Api, services: Services) -> Result:
    member = await api.member()
    for _ in range(5):
        await reauthenticate(api, member.access_token, otp=wrong_code(member.secret, api.clock()))
    return await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))


@reaches("ReauthenticateResult", "UserVerificationRequired", **PASSKEYS)
async def verify_a_passkey_without_user_verification_in_a_session_without_password(
    api: Api, services: Services
) -> Result:
    key = await key_of_member(api)
    signed_in = await passkeys.sign_in(api, key)
    key.verifies_user = False
    return await passkeys.step_up(api, signed_in["tokens"]["accessToken"], key)


@reaches("ReauthenticateResult", "PasskeyRejected", **PASSKEYS)
async def verify_another_passkey(api: Api, services: Services) -> Result:
    member = await api.member()
    await passkeys.add_passkey(api, member.access_token, SoftwarePasskey())
    return await passkeys.step_up(api, member.access_token, SoftwarePasskey())


@reaches("ReauthenticateResult", "ChallengeExpired", **PASSKEYS)
async def verify_a_passkey_of_no_ceremony(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "reauthenticate", member.access_token, input={"passkey": NO_PASSKEY_ANSWER})


@reaches("ReauthenticateResult", "NotAuthenticated")
async def verify_a_code_without_a_session(api: Api, services: Services) -> Result:
    return await reauthenticate(api, None, otp="000000")


# ----------------------------------------------------------------------------------------- regenerateRecoveryCodes


@reaches("RegenerateRecoveryCodesResult", "RecoveryCodes")
async def make_new_recovery_codes(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "regenerateRecoveryCodes", member.access_token)


@reaches("RegenerateRecoveryCodesResult", "NotAuthenticated")
async def make_recovery_codes_without_a_session(api: Api, services: Services) -> Result:
    return await act(api, "regenerateRecoveryCodes")


@reaches("RegenerateRecoveryCodesResult", "ReauthenticationRequired")
async def make_new_recovery_codes_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await act(api, "regenerateRecoveryCodes", member.access_token)


@reaches("RegenerateRecoveryCodesResult", "RateLimited", account_changes=1)
async def make_new_recovery_codes_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await act(api, "regenerateRecoveryCodes", member.access_token)
    return await act(api, "regenerateRecoveryCodes", member.access_token)


# --------------------------------------------------------------------------------------------------- addTotpDevice


@reaches("AddTotpDeviceResult", "TotpDeviceAdded")
async def add_a_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await add(api, member.access_token)


@reaches("AddTotpDeviceResult", "TooManyDevices")
async def add_a_device_to_five(api: Api, services: Services) -> Result:
    member = await api.member()
    for number in range(4):
        await added(api, member.access_token, f"device {number}")
    return await add(api, member.access_token)


@reaches("AddTotpDeviceResult", "InvalidInput")
async def add_a_device_without_a_name(api: Api, services: Services) -> Result:
    member = await api.member()
    return await add(api, member.access_token, "")


@reaches("AddTotpDeviceResult", "NotAuthenticated")
async def add_a_device_without_a_session(api: Api, services: Services) -> Result:
    return await add(api, None)


@reaches("AddTotpDeviceResult", "ReauthenticationRequired")
async def add_a_device_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await add(api, member.access_token)


@reaches("AddTotpDeviceResult", "RateLimited", account_changes=1)
async def add_two_devices(api: Api, services: Services) -> Result:
    member = await api.member()
    await add(api, member.access_token)
    return await add(api, member.access_token)


# ----------------------------------------------------------------------------------------------- confirmTotpDevice


@reaches("ConfirmTotpDeviceResult", "TotpDeviceConfirmed")
async def confirm_a_device(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await added(api, member.access_token)
    return await confirm(api, member.access_token, device.id, code_at(device.secret, api.clock()))


@reaches("ConfirmTotpDeviceResult", "InvalidOtp")
async def confirm_a_device_with_a_wrong_code(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await added(api, member.access_token)
    return await confirm(api, member.access_token, device.id, wrong_code(device.secret, api.clock()))


@reaches("ConfirmTotpDeviceResult", "FactorDisabled", otp_failures_before_disabling=5)
@reaches("ConfirmTotpDeviceResult", "RateLimited")
async def confirm_a_device_after_five_wrong_codes(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await added(api, member.access_token)
    for _ in range(5):
        await confirm(api, member.access_token, device.id, wrong_code(device.secret, api.clock()))
    return await confirm(api, member.access_token, device.id, code_at(device.secret, api.clock()))


@reaches("ConfirmTotpDeviceResult", "OtpAlreadyUsed")
async def confirm_a_device_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    return await confirm(api, member.access_token, device.id, code_at(device.secret, api.clock()))


@reaches("ConfirmTotpDeviceResult", "NotFound")
async def confirm_no_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await confirm(api, member.access_token, NO_ID, code_at(member.secret, api.clock()))


@reaches("ConfirmTotpDeviceResult", "NotAuthenticated")
async def confirm_a_device_without_a_session(api: Api, services: Services) -> Result:
    return await confirm(api, None, NO_ID, "000000")


# ------------------------------------------------------------------------------------------------ renameTotpDevice


@reaches("RenameTotpDeviceResult", "TotpDeviceRenamed")
async def rename_a_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await rename(api, member.access_token, await first_device(api, member.access_token))


@reaches("RenameTotpDeviceResult", "InvalidInput")
async def take_a_devices_name_away(api: Api, services: Services) -> Result:
    member = await api.member()
    return await rename(api, member.access_token, await first_device(api, member.access_token), "")


@reaches("RenameTotpDeviceResult", "NotFound")
async def rename_no_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await rename(api, member.access_token, NO_ID)


@reaches("RenameTotpDeviceResult", "NotAuthenticated")
async def rename_a_device_without_a_session(api: Api, services: Services) -> Result:
    return await rename(api, None, NO_ID)


# ------------------------------------------------------------------------------------------------ removeTotpDevice


async def remove_a_device(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    return await remove(api, member.access_token, device.id)


async def remove_a_passkey(api: Api, services: Services) -> Result:
    member = await api.member()
    passkey = await passkeys.added(api, member.access_token)
    return await passkeys.remove(api, member.access_token, passkey["id"])


@reaches("RemoveFactorResult", "FactorRemoved", **PASSKEYS)
async def remove_an_app_and_a_passkey(api: Api, services: Services) -> Result:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    passkey = await passkeys.added(api, member.access_token)
    await remove(api, member.access_token, device.id)
    return await passkeys.remove(api, member.access_token, passkey["id"])


@reaches("RemoveFactorResult", "LastFactor")
async def remove_the_last_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await remove(api, member.access_token, await first_device(api, member.access_token))


@reaches("RemoveFactorResult", "NotFound")
async def remove_no_device(api: Api, services: Services) -> Result:
    member = await api.member()
    return await remove(api, member.access_token, NO_ID)


@reaches("RemoveFactorResult", "NotAuthenticated")
async def remove_a_device_without_a_session(api: Api, services: Services) -> Result:
    return await remove(api, None, NO_ID)


@reaches("RemoveFactorResult", "ReauthenticationRequired")
async def remove_a_device_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await remove(api, member.access_token, NO_ID)


@reaches("RemoveFactorResult", "RateLimited", account_changes=1)
async def remove_a_device_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await remove(api, member.access_token, NO_ID)
    return await remove(api, member.access_token, NO_ID)


# -------------------------------------------------------------------------------------------------- changePassword


async def change_password(
    api: Api, token: str | None, current_password: str = PASSWORD, new_password: str = NEW_PASSWORD
) -> Result:
    passwords = {"currentPassword": current_password, "newPassword": new_password}
    return await act(api, "changePassword", token, input=passwords)


@reaches("ChangePasswordResult", "PasswordChanged")
async def choose_another_password(api: Api, services: Services) -> Result:
    member = await api.member()
    return await change_password(api, member.access_token)


@reaches("ChangePasswordResult", "InvalidCredentials")
async def give_a_wrong_current_password(api: Api, services: Services) -> Result:
    member = await api.member()
    return await change_password(api, member.access_token, "wrong")


@reaches("ChangePasswordResult", "InvalidInput")
async def choose_a_short_password(api: Api, services: Services) -> Result:
    member = await api.member()
    return await change_password(api, member.access_token, new_password="short")


@reaches("ChangePasswordResult", "NotAuthenticated")
async def choose_another_password_without_a_session(api: Api, services: Services) -> Result:
    return await change_password(api, None)


@reaches("ChangePasswordResult", "ReauthenticationRequired")
async def choose_another_password_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await change_password(api, member.access_token)


@reaches("ChangePasswordResult", "RateLimited", login_attempts=1)
async def give_a_wrong_current_password_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await change_password(api, member.access_token, "wrong")
    return await change_password(api, member.access_token, "wrong")


# --------------------------------------------------------------------------------------------------- resetPassword


async def reset_password(
    api: Api, otp: str, recovery_code: str, username: str = "alice", new_password: str = NEW_PASSWORD
) -> Result:
    proofs = {"username": username, "otp": otp, "recoveryCode": recovery_code}
    return await act(api, "resetPassword", input=proofs | {"newPassword": new_password})


async def reset_with_both_codes(api: Api, member: Member, **others: str) -> Result:
    """With the code that the member's device shows now, and the first recovery code."""
    return await reset_password(api, code_at(member.secret, api.clock()), member.recovery_codes[0], **others)


@reaches("ResetPasswordResult", "PasswordChanged")
async def reset_a_password(api: Api, services: Services) -> Result:
    return await reset_with_both_codes(api, await api.member())


@reaches("ResetPasswordResult", "ResetRejected")
async def reset_the_password_of_an_unknown_user(api: Api, services: Services) -> Result:
    return await reset_password(api, "000000", NO_RECOVERY_CODE, "nobody")


@reaches("ResetPasswordResult", "InvalidInput")
async def reset_to_a_short_password(api: Api, services: Services) -> Result:
    return await reset_password(api, "000000", NO_RECOVERY_CODE, new_password="short")


@reaches("ResetPasswordResult", "RateLimited", login_attempts=1)
async def reset_the_password_of_an_unknown_user_twice(api: Api, services: Services) -> Result:
    await reset_password(api, "000000", NO_RECOVERY_CODE, "nobody")
    return await reset_password(api, "000000", NO_RECOVERY_CODE, "nobody")


# --------------------------------------------------------------------------------------------------- revokeSession

NO_ID = "00000000-0000-4000-8000-000000000000"


async def own_session(api: Api, token: str) -> str:
    """The id of the session that asks."""
    me = await api.run("{ me { sessions { id current } } }", token=token)
    (session_id,) = (session["id"] for session in me["sessions"] if session["current"])
    return str(session_id)


@reaches("RevokeSessionResult", "SessionRevoked")
async def revoke_the_session_that_asks(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "revokeSession", member.access_token, id=await own_session(api, member.access_token))


@reaches("RevokeSessionResult", "NotFound")
async def revoke_no_session(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "revokeSession", member.access_token, id=NO_ID)


@reaches("RevokeSessionResult", "NotAuthenticated")
async def revoke_without_a_session(api: Api, services: Services) -> Result:
    return await act(api, "revokeSession", id=NO_ID)


@reaches("RevokeSessionResult", "RateLimited", account_changes=1)
async def revoke_no_session_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await act(api, "revokeSession", member.access_token, id=NO_ID)
    return await act(api, "revokeSession", member.access_token, id=NO_ID)


# --------------------------------------------------------------------------------------- beginPasskeyRegistration


async def key_of_member(api: Api, **kind: Any) -> SoftwarePasskey:
    """The passkey of a new member, beside an authenticator app. kind: of the authenticator."""
    key = SoftwarePasskey(**kind)
    await passkeys.add_passkey(api, (await api.member()).access_token, key)
    return key


async def begin_to_add(api: Api, token: str | None = None, **options: Any) -> Result:
    return await act(api, "beginPasskeyRegistration", token, input=options)


@reaches("BeginPasskeyRegistrationResult", "PasskeyCeremony", **PASSKEYS)
@reaches("BeginPasskeyRegistrationResult", "PasskeyUnavailable")
async def begin_to_add_a_passkey(api: Api, services: Services) -> Result:
    return await begin_to_add(api, (await api.member()).access_token)


@reaches("BeginPasskeyRegistrationResult", "TooManyPasskeys", **PASSKEYS)
async def begin_to_add_an_eleventh_passkey(api: Api, services: Services) -> Result:
    member = await api.member()
    for _ in range(10):
        await passkeys.add_passkey(api, member.access_token, SoftwarePasskey())
    return await begin_to_add(api, member.access_token)


@reaches("BeginPasskeyRegistrationResult", "AlreadyEnrolled", **PASSKEYS)
async def begin_to_enroll_with_a_passkey_twice(api: Api, services: Services) -> Result:
    await api.member()
    return await begin_to_add(api, challengeToken=(await api.challenge())["token"])


@reaches("BeginPasskeyRegistrationResult", "EnrollmentCodeRequired", **PASSKEYS)
async def begin_to_enroll_an_imported_account_with_a_passkey(api: Api, services: Services) -> Result:
    await import_user(services, "imported", enrollment_code_digest=enrollment_code_digest(new_recovery_code()))
    return await begin_to_add(api, challengeToken=(await api.challenge(password="imported"))["token"])


@reaches("BeginPasskeyRegistrationResult", "ChallengeExpired", **PASSKEYS)
async def begin_to_enroll_with_a_passkey_without_a_challenge(api: Api, services: Services) -> Result:
    return await begin_to_add(api, challengeToken=NO_CHALLENGE["token"])


@reaches("BeginPasskeyRegistrationResult", "NotAuthenticated", **PASSKEYS)
async def begin_to_add_a_passkey_without_a_session(api: Api, services: Services) -> Result:
    return await begin_to_add(api)


@reaches("BeginPasskeyRegistrationResult", "ReauthenticationRequired", **PASSKEYS)
async def begin_to_add_a_passkey_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await begin_to_add(api, member.access_token)


@reaches("BeginPasskeyRegistrationResult", "RateLimited", account_changes=1, **PASSKEYS)
async def begin_to_add_a_passkey_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await begin_to_add(api, member.access_token)
    return await begin_to_add(api, member.access_token)


# -------------------------------------------------------------------------------------- finishPasskeyRegistration


async def finish_to_add(api: Api, token: str | None, **answer: Any) -> Result:
    return await act(api, "finishPasskeyRegistration", token, input=answer)


@reaches("FinishPasskeyRegistrationResult", "PasskeyAdded", **PASSKEYS)
@reaches("FinishPasskeyRegistrationResult", "RateLimited", account_changes=1, **PASSKEYS)
async def add_a_passkey(api: Api, services: Services) -> Result:
    return await passkeys.add_passkey(api, (await api.member()).access_token, SoftwarePasskey())


@reaches("FinishPasskeyRegistrationResult", "EnrollmentConfirmed", **PASSKEYS)
async def enroll_with_a_passkey(api: Api, services: Services) -> Result:
    return await passkeys.enroll(api, (await api.register())["challenge"], SoftwarePasskey())


@reaches("FinishPasskeyRegistrationResult", "PasskeyRejected", **PASSKEYS)
async def add_a_passkey_twice(api: Api, services: Services) -> Result:
    member, key = await api.member(), SoftwarePasskey()
    await passkeys.add_passkey(api, member.access_token, key)
    return await passkeys.add_passkey(api, member.access_token, key)


@reaches("FinishPasskeyRegistrationResult", "TooManyPasskeys", **PASSKEYS)
async def add_eleven_passkeys(api: Api, services: Services) -> Result:
    token = (await api.member()).access_token
    begun = [await begin_to_add(api, token) for _ in range(11)]
    answers = [await finish_to_add(api, token, **passkeys.answer(each, SoftwarePasskey())) for each in begun]
    return answers[-1]


@reaches("FinishPasskeyRegistrationResult", "AlreadyEnrolled", **PASSKEYS)
async def enroll_with_a_passkey_after_a_code(api: Api, services: Services) -> Result:
    registered = await api.register()
    begun = await begin_to_add(api, challengeToken=registered["challenge"]["token"])
    await api.verify_otp(registered["challenge"], code_at(registered["enrollment"]["secret"], api.clock()))
    return await finish_to_add(api, None, **passkeys.answer(begun, SoftwarePasskey()))


@reaches("FinishPasskeyRegistrationResult", "InvalidInput", **PASSKEYS)
async def add_a_passkey_without_a_name(api: Api, services: Services) -> Result:
    return await finish_to_add(api, (await api.member()).access_token, **NO_PASSKEY_ANSWER, name="")


@reaches("FinishPasskeyRegistrationResult", "ChallengeExpired", **PASSKEYS)
async def add_a_passkey_of_no_ceremony(api: Api, services: Services) -> Result:
    return await finish_to_add(api, (await api.member()).access_token, **NO_PASSKEY_ANSWER)


@reaches("FinishPasskeyRegistrationResult", "NotAuthenticated", **PASSKEYS)
async def add_a_passkey_without_a_session(api: Api, services: Services) -> Result:
    begun = await begin_to_add(api, (await api.member()).access_token)
    return await finish_to_add(api, None, **passkeys.answer(begun, SoftwarePasskey()))


# ----------------------------------------------------------------------------------------------- beginPasskeyLogin


@reaches("BeginPasskeyLoginResult", "PasskeyCeremony", **PASSKEYS)
@reaches("BeginPasskeyLoginResult", "PasskeyUnavailable")
async def begin_to_sign_in_with_a_passkey_alone(api: Api, services: Services) -> Result:
    return await act(api, "beginPasskeyLogin")


@reaches("BeginPasskeyLoginResult", "ChallengeExpired", **PASSKEYS)
async def begin_to_answer_no_challenge_with_a_passkey(api: Api, services: Services) -> Result:
    return await act(api, "beginPasskeyLogin", input={"challengeToken": NO_CHALLENGE["token"]})


async def refuse_many_passkeys(api: Api) -> None:
    """Use up the refusals of one address."""
    begun = await act(api, "beginPasskeyLogin")
    for _ in range(30):
        await finish_login(api, ceremonyToken=begun["ceremonyToken"], credential={})


@reaches("BeginPasskeyLoginResult", "RateLimited", **PASSKEYS, login_address_total=30)
async def begin_to_sign_in_after_many_answers_of_passkeys(api: Api, services: Services) -> Result:
    await refuse_many_passkeys(api)
    return await act(api, "beginPasskeyLogin")


# ---------------------------------------------------------------------------------------------- finishPasskeyLogin


async def finish_login(api: Api, **answer: Any) -> Result:
    return await act(api, "finishPasskeyLogin", input=answer)


@reaches("FinishPasskeyLoginResult", "SignedIn", **PASSKEYS)
async def sign_in_with_a_passkey(api: Api, services: Services) -> Result:
    """As the second factor, and alone."""
    key = await key_of_member(api)
    await passkeys.sign_in(api, key, await api.challenge())
    return await passkeys.sign_in(api, key)


@reaches("FinishPasskeyLoginResult", "UserVerificationRequired", **PASSKEYS)
async def sign_in_with_a_passkey_alone_without_user_verification(api: Api, services: Services) -> Result:
    return await passkeys.sign_in(api, await key_of_member(api, verifies_user=False))


@reaches("FinishPasskeyLoginResult", "PasskeyUnknown", **PASSKEYS)
async def sign_in_with_an_unknown_passkey(api: Api, services: Services) -> Result:
    return await passkeys.sign_in(api, SoftwarePasskey())


@reaches("FinishPasskeyLoginResult", "PasskeyRejected", **PASSKEYS)
async def answer_with_another_passkey(api: Api, services: Services) -> Result:
    await key_of_member(api)
    return await passkeys.sign_in(api, SoftwarePasskey(), await api.challenge())


@reaches("FinishPasskeyLoginResult", "ChallengeExpired", **PASSKEYS)
async def sign_in_with_a_passkey_of_no_ceremony(api: Api, services: Services) -> Result:
    return await finish_login(api, **NO_PASSKEY_ANSWER)


@reaches("FinishPasskeyLoginResult", "RateLimited", **PASSKEYS)
async def sign_in_after_many_refused_passkeys(api: Api, services: Services) -> Result:
    begun = await act(api, "beginPasskeyLogin")
    await refuse_many_passkeys(api)
    return await finish_login(api, ceremonyToken=begun["ceremonyToken"], credential={})


# ----------------------------------------------------------------------------------- beginPasskeyReauthentication


@reaches("BeginPasskeyReauthenticationResult", "PasskeyCeremony", **PASSKEYS)
async def begin_to_verify_a_passkey_again(api: Api, services: Services) -> Result:
    member = await api.member()
    await passkeys.add_passkey(api, member.access_token, SoftwarePasskey())
    return await act(api, "beginPasskeyReauthentication", member.access_token)


@reaches("BeginPasskeyReauthenticationResult", "PasskeyUnavailable", **PASSKEYS)
async def begin_to_verify_no_passkey(api: Api, services: Services) -> Result:
    return await act(api, "beginPasskeyReauthentication", (await api.member()).access_token)


@reaches("BeginPasskeyReauthenticationResult", "NotAuthenticated", **PASSKEYS)
async def begin_to_verify_a_passkey_without_a_session(api: Api, services: Services) -> Result:
    return await act(api, "beginPasskeyReauthentication")


@reaches("BeginPasskeyReauthenticationResult", "RateLimited", account_changes=1, **PASSKEYS)
async def begin_to_verify_a_passkey_twice(api: Api, services: Services) -> Result:
    member = await api.member()
    await act(api, "beginPasskeyReauthentication", member.access_token)
    return await act(api, "beginPasskeyReauthentication", member.access_token)


# --------------------------------------------------------------------------------------------------- renamePasskey


@reaches("RenamePasskeyResult", "PasskeyRenamed", **PASSKEYS)
async def rename_a_passkey(api: Api, services: Services) -> Result:
    member = await api.member()
    passkey = await passkeys.added(api, member.access_token)
    return await passkeys.rename(api, member.access_token, passkey["id"])


@reaches("RenamePasskeyResult", "InvalidInput", **PASSKEYS)
async def take_a_passkeys_name_away(api: Api, services: Services) -> Result:
    member = await api.member()
    passkey = await passkeys.added(api, member.access_token)
    return await passkeys.rename(api, member.access_token, passkey["id"], "")


@reaches("RenamePasskeyResult", "NotFound", **PASSKEYS)
async def rename_no_passkey(api: Api, services: Services) -> Result:
    return await passkeys.rename(api, (await api.member()).access_token, NO_ID)


@reaches("RenamePasskeyResult", "NotAuthenticated", **PASSKEYS)
async def rename_a_passkey_without_a_session(api: Api, services: Services) -> Result:
    return await passkeys.rename(api, None, NO_ID)


# --------------------------------------------------------------------------------------------------- deleteAccount


@reaches("DeleteAccountResult", "AccountDeleted")
async def delete_the_account(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "deleteAccount", member.access_token)


@reaches("DeleteAccountResult", "NotAuthenticated")
async def delete_without_a_session(api: Api, services: Services) -> Result:
    return await act(api, "deleteAccount")


@reaches("DeleteAccountResult", "ReauthenticationRequired")
async def delete_the_account_too_late(api: Api, services: Services) -> Result:
    member = await api.member()
    api.clock.advance(300)
    return await act(api, "deleteAccount", member.access_token)


@reaches("DeleteAccountResult", "RateLimited", account_changes=1)
async def delete_the_account_after_many_changes(api: Api, services: Services) -> Result:
    member = await api.member()
    await act(api, "revokeSession", member.access_token, id=NO_ID)
    return await act(api, "deleteAccount", member.access_token)

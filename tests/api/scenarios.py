"""The shortest way to each member of each result union, over HTTP."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.flows.enrollment import enrollment_code_digest
from graphql_mfa.flows.services import Registration, Services
from tests.account import act
from tests.api_client import REFRESH_SESSION, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.store import rows

NO_CHALLENGE = {"token": "mfac_" + "A" * 43}
NO_REFRESH_TOKEN = "mfar_" + "A" * 43
NO_RECOVERY_CODE = "0000-0000-0000-0000-0000-0000"

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
    """What an operator does: an account with a password and, unless `columns` say so, without a second factor."""
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
    """A host's own condition that nobody meets."""
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
async def log_in_as_nobody(api: Api, services: Services) -> Result:
    return await api.login("nobody")


@reaches("LoginResult", "RateLimited", login_attempts=1)
async def log_in_as_nobody_twice(api: Api, services: Services) -> Result:
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


@reaches("VerifyOtpResult", "FactorDisabled", otp_failures_before_disabling=1)
@reaches("VerifyOtpResult", "RateLimited", otp_failures_before_backoff=1)
async def answer_after_a_wrong_code(api: Api, services: Services) -> Result:
    member = await api.member()
    challenge = await api.challenge()
    await api.verify_otp(challenge, wrong_code(member.secret, api.clock()))
    return await api.verify_otp(challenge, code_at(member.secret, api.clock()))


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


@reaches("VerifyRecoveryCodeResult", "RateLimited", recovery_code_attempts=1)
async def answer_with_no_recovery_code_twice(api: Api, services: Services) -> Result:
    await api.member()
    challenge = await api.challenge()
    await api.verify_recovery_code(challenge, NO_RECOVERY_CODE)
    return await api.verify_recovery_code(challenge, NO_RECOVERY_CODE)


@reaches("VerifyRecoveryCodeResult", "ChallengeExpired")
async def answer_no_challenge_with_a_recovery_code(api: Api, services: Services) -> Result:
    return await api.verify_recovery_code(NO_CHALLENGE, NO_RECOVERY_CODE)


# ----------------------------------------------------------------------------------------------- restartEnrollment


@reaches("RestartEnrollmentResult", "EnrollmentRestarted")
async def restart(api: Api, services: Services) -> Result:
    registered = await api.register()
    return await api.restart_enrollment(registered["challenge"])


@reaches("RestartEnrollmentResult", "RateLimited", enrollment_restarts=1)
async def restart_twice(api: Api, services: Services) -> Result:
    restarted = await restart(api, services)
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
async def log_out_as_nobody(api: Api, services: Services) -> Result:
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


@reaches("ReauthenticateResult", "FactorDisabled", otp_failures_before_disabling=1)
@reaches("ReauthenticateResult", "RateLimited", otp_failures_before_backoff=1)
async def verify_a_code_after_a_wrong_one(api: Api, services: Services) -> Result:
    member = await api.member()
    await reauthenticate(api, member.access_token, otp=wrong_code(member.secret, api.clock()))
    return await reauthenticate(api, member.access_token, otp=code_at(member.secret, api.clock()))


@reaches("ReauthenticateResult", "NotAuthenticated")
async def verify_a_code_as_nobody(api: Api, services: Services) -> Result:
    return await reauthenticate(api, None, otp="000000")


# ----------------------------------------------------------------------------------------- regenerateRecoveryCodes


@reaches("RegenerateRecoveryCodesResult", "RecoveryCodes")
async def make_new_recovery_codes(api: Api, services: Services) -> Result:
    member = await api.member()
    return await act(api, "regenerateRecoveryCodes", member.access_token)


@reaches("RegenerateRecoveryCodesResult", "NotAuthenticated")
async def make_recovery_codes_as_nobody(api: Api, services: Services) -> Result:
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

"""Outcomes of use cases as members of the result unions."""

from datetime import datetime
from typing import TypeAlias, assert_never

import strawberry

from graphql_mfa.api import errors, results, types
from graphql_mfa.core.problems import Problem
from graphql_mfa.flows import outcomes
from graphql_mfa.flows.add_totp_device import AddTotpDeviceOutcome
from graphql_mfa.flows.change_password import ChangePasswordOutcome
from graphql_mfa.flows.confirm_totp_device import ConfirmTotpDeviceOutcome
from graphql_mfa.flows.delete_account import DeleteAccountOutcome
from graphql_mfa.flows.login import LoginOutcome
from graphql_mfa.flows.logout import LogoutOutcome
from graphql_mfa.flows.reauthenticate import ReauthenticateOutcome
from graphql_mfa.flows.refresh_session import RefreshSessionOutcome
from graphql_mfa.flows.regenerate_recovery_codes import RegenerateRecoveryCodesOutcome
from graphql_mfa.flows.register_user import RegisterUserOutcome
from graphql_mfa.flows.remove_totp_device import RemoveTotpDeviceOutcome
from graphql_mfa.flows.rename_totp_device import RenameTotpDeviceOutcome
from graphql_mfa.flows.reset_password import ResetPasswordOutcome
from graphql_mfa.flows.restart_enrollment import RestartEnrollmentOutcome
from graphql_mfa.flows.revoke_session import RevokeSessionOutcome
from graphql_mfa.flows.verify_otp import VerifyOtpOutcome
from graphql_mfa.flows.verify_recovery_code import VerifyRecoveryCodeOutcome

Outcome: TypeAlias = (
    RegisterUserOutcome
    | LoginOutcome
    | VerifyOtpOutcome
    | VerifyRecoveryCodeOutcome
    | RestartEnrollmentOutcome
    | RefreshSessionOutcome
    | LogoutOutcome
    | ReauthenticateOutcome
    | RegenerateRecoveryCodesOutcome
    | AddTotpDeviceOutcome
    | ConfirmTotpDeviceOutcome
    | RenameTotpDeviceOutcome
    | RemoveTotpDeviceOutcome
    | ChangePasswordOutcome
    | ResetPasswordOutcome
    | RevokeSessionOutcome
    | DeleteAccountOutcome
)
Result: TypeAlias = (
    results.RegisterUserSuccess
    | results.OtpRequired
    | results.EnrollmentRestarted
    | results.LogoutSuccess
    | results.Reauthenticated
    | results.RecoveryCodes
    | results.TotpDeviceAdded
    | results.TotpDeviceConfirmed
    | results.TotpDeviceRenamed
    | results.FactorRemoved
    | results.PasswordChanged
    | results.SessionRevoked
    | results.AccountDeleted
    | results.SignInSuccess
    | errors.UserError
)


def present(outcome: Outcome, now: datetime) -> Result:
    """The type that tells a client of the outcome."""
    match outcome:
        case outcomes.Registered(account, enrollment, challenge):
            return results.RegisterUserSuccess(
                user=types.User.of(account, None),
                enrollment=_enrollment(enrollment),
                challenge=_challenge(challenge, now),
            )
        case outcomes.OtpRequired(challenge, enrollment_pending):
            return results.OtpRequired(challenge=_challenge(challenge, now), enrollment_pending=enrollment_pending)
        case outcomes.SignedIn(tokens, account):
            return results.SignedIn(tokens=_tokens(tokens, now), user=types.User.of(account, tokens.session_id))
        case outcomes.EnrollmentConfirmed(tokens, account, recovery_codes):
            return results.EnrollmentConfirmed(
                tokens=_tokens(tokens, now),
                user=types.User.of(account, tokens.session_id),
                recovery_codes=recovery_codes,
            )
        case outcomes.EnrollmentRestarted(enrollment, challenge):
            return results.EnrollmentRestarted(enrollment=_enrollment(enrollment), challenge=_challenge(challenge, now))
        case outcomes.LoggedOut(sessions_ended):
            return results.LogoutSuccess(sessions_ended=sessions_ended)
        case outcomes.Reauthenticated(access_token, expires_at, account, session_id):
            return results.Reauthenticated(
                access_token=access_token,
                access_token_expires_at=expires_at,
                access_token_expires_in=_seconds_until(expires_at, now),
                user=types.User.of(account, session_id),
            )
        case outcomes.RecoveryCodes(recovery_codes, account, session_id):
            return results.RecoveryCodes(recovery_codes=recovery_codes, user=types.User.of(account, session_id))
        case outcomes.TotpDeviceAdded(device, enrollment, account, session_id):
            return results.TotpDeviceAdded(
                device=types.TotpDevice.of(device),
                enrollment=_enrollment(enrollment),
                user=types.User.of(account, session_id),
            )
        case outcomes.TotpDeviceConfirmed(device, account, session_id):
            return results.TotpDeviceConfirmed(
                device=types.TotpDevice.of(device), user=types.User.of(account, session_id)
            )
        case outcomes.TotpDeviceRenamed(device):
            return results.TotpDeviceRenamed(device=types.TotpDevice.of(device))
        case outcomes.FactorRemoved(id, account, session_id, sessions_ended):
            user = types.User.of(account, session_id)
            return results.FactorRemoved(id=strawberry.ID(str(id)), user=user, sessions_ended=sessions_ended)
        case outcomes.PasswordChanged(sessions_ended):
            return results.PasswordChanged(sessions_ended=sessions_ended)
        case outcomes.SessionRevoked(id, account, session_id):
            return results.SessionRevoked(id=strawberry.ID(str(id)), user=types.User.of(account, session_id))
        case outcomes.AccountDeleted(username):
            return results.AccountDeleted(username=username)
        case outcomes.InvalidInput(problems):
            return errors.InvalidInput(fields=[_field_error(problem) for problem in problems])
        case outcomes.UsernameTaken():
            return errors.UsernameTaken()
        case outcomes.RegistrationClosed():
            return errors.RegistrationClosed()
        case outcomes.RegistrationRefused(message):
            return errors.RegistrationRefused(message=message)
        case outcomes.InvalidCredentials():
            return errors.InvalidCredentials()
        case outcomes.InvalidOtp(attempts_left, clock_behind_seconds):
            return errors.InvalidOtp.of(attempts_left, clock_behind_seconds)
        case outcomes.OtpAlreadyUsed(retry_after, attempts_left):
            return errors.OtpAlreadyUsed(retry_after=retry_after, attempts_left=attempts_left)
        case outcomes.InvalidRecoveryCode(attempts_left):
            return errors.InvalidRecoveryCode.of(attempts_left)
        case outcomes.ChallengeExpired():
            return errors.ChallengeExpired()
        case outcomes.FactorDisabled():
            return errors.FactorDisabled()
        case outcomes.EnrollmentCodeRequired():
            return errors.EnrollmentCodeRequired()
        case outcomes.AlreadyEnrolled():
            return errors.AlreadyEnrolled()
        case outcomes.SessionExpired():
            return errors.SessionExpired()
        case outcomes.NotAuthenticated(reason):
            return errors.NotAuthenticated.of(errors.NotAuthenticatedReason[reason.name])
        case outcomes.ReauthenticationRequired(factors):
            return errors.ReauthenticationRequired(factors=[types.FactorKind[factor.name] for factor in factors])
        case outcomes.WrongCurrentPassword():
            return errors.InvalidCredentials(message="Your current password is wrong.")
        case outcomes.ResetRejected():
            return errors.ResetRejected()
        case outcomes.RateLimited(retry_after, new_address):
            return errors.RateLimited.of(retry_after, new_address=new_address)
        case outcomes.TooManyDevices():
            return errors.TooManyDevices()
        case outcomes.LastFactor():
            return errors.LastFactor()
        case outcomes.NotFound():
            return errors.NotFound()
        case _:
            assert_never(outcome)


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(0, round((moment - now).total_seconds()))


def _enrollment(enrollment: outcomes.Enrollment) -> types.TotpEnrollment:
    return types.TotpEnrollment(secret=enrollment.secret, otpauth_uri=enrollment.otpauth_uri)


def _challenge(challenge: outcomes.IssuedChallenge, now: datetime) -> types.Challenge:
    return types.Challenge(
        token=challenge.token,
        expires_at=challenge.expires_at,
        expires_in=_seconds_until(challenge.expires_at, now),
        attempts_left=challenge.attempts_left,
        factors=[types.FactorKind[factor.name] for factor in challenge.factors],
        otp_retry_after=challenge.otp_retry_after,
    )


def _tokens(tokens: outcomes.TokenPair, now: datetime) -> types.TokenPair:
    return types.TokenPair(
        access_token=tokens.access_token,
        access_token_expires_at=tokens.access_token_expires_at,
        access_token_expires_in=_seconds_until(tokens.access_token_expires_at, now),
        refresh_token=tokens.refresh_token,
        refresh_token_expires_at=tokens.refresh_token_expires_at,
    )


def _field_error(problem: Problem) -> errors.FieldError:
    return errors.FieldError(
        field=problem.field, code=errors.FieldErrorCode[problem.code.name], message=problem.message
    )

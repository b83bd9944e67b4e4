"""Give an account that never confirmed its TOTP secret a new one."""

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.secret_tokens import Purpose, token_digest
from graphql_mfa.flows import limits
from graphql_mfa.flows.challenges import issue_challenge
from graphql_mfa.flows.enrollment import enroll_device, enrollment_code_digest
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges, throttles, totp_devices, users
from graphql_mfa.store.users import LockedUser
from graphql_mfa.types.challenges import ChallengeExpired
from graphql_mfa.types.sign_in import (
    AlreadyEnrolled,
    EnrollmentCodeRequired,
    EnrollmentRestarted,
    RestartEnrollmentResult,
)
from graphql_mfa.types.throttling import RateLimited


async def restart_enrollment(
    services: Services, challenge_token: str, enrollment_code: str | None
) -> RestartEnrollmentResult:
    """Replace the device and end every open challenge, this one too; a new challenge comes with the new secret.

    A password alone is enough only for an account that its owner registered and never confirmed. One that an operator
    imported or reset needs the operator's code as well. It counts until the first one-time code is verified, since a
    page that was reloaded has lost the secret.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def restart(connection: Connection) -> RestartEnrollmentResult:
        challenge = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        if user.account.mfa_enabled:
            return AlreadyEnrolled()
        counted = limits.enrollment_restart(settings, user.id)
        if wait := throttles.reserve_all(connection, counted, now):
            return RateLimited.until(wait)
        if not _may_enroll(user, enrollment_code):
            # Counted on the challenge only: a guesser must not use up the owner's restarts.
            challenges.count_attempt(connection, token)
            throttles.give_back(connection, counted)
            return EnrollmentCodeRequired()
        challenges.end_all(connection, user.id)
        totp_devices.remove_all(connection, user.id)
        users.forget_otp_failures(connection, user.id)
        enrollment = enroll_device(connection, services, user.id, user.account.username, now)
        issued = issue_challenge(connection, services, user.id, now, factors=[FactorKind.TOTP])
        return EnrollmentRestarted(enrollment=enrollment, challenge=issued)

    return await services.database.write(restart)


def _may_enroll(user: LockedUser, enrollment_code: str | None) -> bool:
    return not user.needs_enrollment_code or user.enrollment_code_digest == enrollment_code_digest(
        enrollment_code or ""
    )

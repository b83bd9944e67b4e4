"""Signing in, refreshing a session, and confirming an enrollment."""

from datetime import datetime
from typing import Annotated

import strawberry

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.types.errors import InvalidInput, RateLimited, UserError, fixed_message, outcomes_of
from graphql_mfa.types.passkeys import (
    PasskeyAdded,
    PasskeyCeremony,
    PasskeyRejected,
    PasskeyUnavailable,
    PasskeyUnknown,
    TooManyPasskeys,
    UserVerificationRequired,
)
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated, ReauthenticationRequired, SessionExpired, TokenPair
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed, TotpEnrollment


@strawberry.type(description="A pending sign-in: complete it with a second factor, within a few minutes and attempts.")
class Challenge:
    token: str = strawberry.field(description="The secret that identifies the challenge. Send it with the answer.")
    expires_at: datetime = strawberry.field(description="When it expires.")
    expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    attempts_left: int = strawberry.field(description="Remaining attempts; a wrong answer at 1 ends the challenge.")
    factors: list[FactorKind] = strawberry.field(
        description="The factors that are accepted now. One-time codes are not listed while they are blocked or off."
    )
    otp_retry_after: int | None = strawberry.field(
        description="Seconds until blocked one-time codes are accepted again; null if they are not blocked."
    )


@strawberry.type(
    description="The challenge, or the ceremony of a passkey, is unknown, answered, or expired.\n\n"
    "Show the login form; in a session, begin another ceremony. If a registration was not finished, "
    "`restartEnrollment` gives a new QR code after `login`."
)
class ChallengeExpired(UserError):
    message: str = fixed_message("This attempt has expired, or was already used. Start again.")


@strawberry.interface(description="Common fields of the results that open or renew a session.")
class SignInSuccess:
    tokens: TokenPair = strawberry.field(description="The session's tokens.")
    user: LazyUser = strawberry.field(description="The signed-in user.")


@strawberry.type(description="The session was opened or renewed.\n\nStore the tokens, in place of the old ones.")
class SignedIn(SignInSuccess):
    pass


@strawberry.type(
    description="The account's second factor is confirmed, and the session is open.\n\n"
    "Store the tokens. Show `recoveryCodes`, which are returned only once, and ask the user to save them."
)
class EnrollmentConfirmed(SignInSuccess):
    recovery_codes: list[str] = strawberry.field(
        description="Single-use codes for signing in without the app or passkey. Shown only once: ask the user to "
        "store them."
    )


@strawberry.type(
    description="The password is right; the second factor is required.\n\n"
    "Ask for one of `challenge.factors`: a one-time code (`verifyOtp`), a passkey (`beginPasskeyLogin`) or a recovery "
    "code (`verifyRecoveryCode`). If `enrollmentPending` is true, offer `restartEnrollment` and "
    "`beginPasskeyRegistration` too."
)
class OtpRequired:
    challenge: Challenge = strawberry.field(description="Answer it with one of its `factors`.")
    enrollment_pending: bool = strawberry.field(
        description="True until the account confirms its first factor. `restartEnrollment` issues a new secret; "
        "`beginPasskeyRegistration` adds a passkey instead."
    )


@strawberry.type(
    description="The username or the password is wrong; the answer and its timing don't reveal which. In "
    "`changePassword`: the current password is missing or wrong.\n\n"
    "Ask again."
)
class InvalidCredentials(UserError):
    message: str = fixed_message("Username or password is wrong.")


@strawberry.type(
    description="The account has a new TOTP secret. The old one and earlier challenges stop working.\n\n"
    "Continue as after `RegisterUserSuccess`."
)
class EnrollmentRestarted:
    enrollment: TotpEnrollment = strawberry.field(description="The secret to set up the authenticator app with.")
    challenge: Challenge = strawberry.field(
        description="For `verifyOtp` or `beginPasskeyRegistration`, to confirm the enrollment."
    )


@strawberry.type(
    description="The account was imported or reset: the operator's enrollment code is required. It is valid until "
    "the account confirms its first factor.\n\n"
    "Ask for the enrollment code."
)
class EnrollmentCodeRequired(UserError):
    message: str = fixed_message("Enter the enrollment code that your administrator gave you.")


@strawberry.type(
    description="The account has confirmed its second factor; a challenge can't enroll another one.\n\n"
    "Show the login form, and ask for the second factor."
)
class AlreadyEnrolled(UserError):
    message: str = fixed_message("This account is already set up. Log in with your second factor.")


LoginResult = Annotated[OtpRequired | InvalidCredentials | RateLimited, outcomes_of("login")]
VerifyOtpResult = Annotated[
    SignedIn | EnrollmentConfirmed | InvalidOtp | OtpAlreadyUsed | ChallengeExpired | FactorDisabled | RateLimited,
    outcomes_of("verifyOtp"),
]
VerifyRecoveryCodeResult = Annotated[
    SignedIn | InvalidRecoveryCode | ChallengeExpired | RateLimited, outcomes_of("verifyRecoveryCode")
]
RestartEnrollmentResult = Annotated[
    EnrollmentRestarted | EnrollmentCodeRequired | ChallengeExpired | AlreadyEnrolled | RateLimited,
    outcomes_of("restartEnrollment"),
]
BeginPasskeyRegistrationResult = Annotated[
    PasskeyCeremony
    | PasskeyUnavailable
    | TooManyPasskeys
    | AlreadyEnrolled
    | EnrollmentCodeRequired
    | ChallengeExpired
    | NotAuthenticated
    | ReauthenticationRequired
    | RateLimited,
    outcomes_of("beginPasskeyRegistration"),
]
FinishPasskeyRegistrationResult = Annotated[
    PasskeyAdded
    | EnrollmentConfirmed
    | PasskeyRejected
    | TooManyPasskeys
    | AlreadyEnrolled
    | InvalidInput
    | ChallengeExpired
    | NotAuthenticated
    | RateLimited,
    outcomes_of("finishPasskeyRegistration"),
]
BeginPasskeyLoginResult = Annotated[
    PasskeyCeremony | PasskeyUnavailable | ChallengeExpired | RateLimited, outcomes_of("beginPasskeyLogin")
]
FinishPasskeyLoginResult = Annotated[
    SignedIn | UserVerificationRequired | PasskeyUnknown | PasskeyRejected | ChallengeExpired | RateLimited,
    outcomes_of("finishPasskeyLogin"),
]
RefreshSessionResult = Annotated[SignedIn | SessionExpired | InvalidInput | RateLimited, outcomes_of("refreshSession")]

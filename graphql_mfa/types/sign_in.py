"""Signing in, refreshing a session, and confirming an enrollment."""

from typing import Annotated

import strawberry

from graphql_mfa.types.accounts import User
from graphql_mfa.types.challenges import Challenge, ChallengeExpired
from graphql_mfa.types.errors import InvalidInput, UserError, fixed_message
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import NotAuthenticated, Reauthenticated, SessionExpired, TokenPair
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed, TotpEnrollment


@strawberry.interface(description="Common fields of the results that open or renew a session.")
class SignInSuccess:
    tokens: TokenPair = strawberry.field(description="The session's tokens.")
    user: User = strawberry.field(description="The signed-in user.")


@strawberry.type(description="The session was opened or renewed.\n\nStore the tokens, in place of the old ones.")
class SignedIn(SignInSuccess):
    pass


@strawberry.type(
    description="The account's second factor is confirmed, and the session is open.\n\n"
    "Store the tokens. Show `recoveryCodes`, which are returned only once, and ask the user to save them."
)
class EnrollmentConfirmed(SignInSuccess):
    recovery_codes: list[str] = strawberry.field(
        description="Single-use codes for signing in without the device. Shown only once: ask the user to store them."
    )


@strawberry.type(
    description="The password is right; the second factor is required.\n\n"
    "Ask for a one-time code and call `verifyOtp`, or for a recovery code and call `verifyRecoveryCode`. "
    "If `enrollmentPending` is true, offer `restartEnrollment` too."
)
class OtpRequired:
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` or `verifyRecoveryCode`.")
    enrollment_pending: bool = strawberry.field(
        description="True until the account verifies its first code; `restartEnrollment` issues a new secret."
    )


@strawberry.type(
    description="The username or the password is wrong; the answer and its timing don't reveal which. In "
    "`changePassword`: the current password is wrong.\n\n"
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
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` to confirm the enrollment.")


@strawberry.type(
    description="The account was imported or reset: the operator's enrollment code is required. It is valid until "
    "the first one-time code is verified.\n\n"
    "Ask for the enrollment code."
)
class EnrollmentCodeRequired(UserError):
    message: str = fixed_message("Enter the enrollment code that your administrator gave you.")


@strawberry.type(
    description="The account's second factor is confirmed; its secret can't be replaced this way.\n\n"
    "Ask for a one-time code."
)
class AlreadyEnrolled(UserError):
    message: str = fixed_message("This account is already set up. Enter the code that your authenticator app shows.")


LoginResult = Annotated[
    OtpRequired | InvalidCredentials | RateLimited,
    strawberry.union("LoginResult", description="Outcomes of `login`. New members may join."),
]
VerifyOtpResult = Annotated[
    SignedIn | EnrollmentConfirmed | InvalidOtp | OtpAlreadyUsed | ChallengeExpired | FactorDisabled | RateLimited,
    strawberry.union("VerifyOtpResult", description="Outcomes of `verifyOtp`. New members may join."),
]
VerifyRecoveryCodeResult = Annotated[
    SignedIn | InvalidRecoveryCode | ChallengeExpired | RateLimited,
    strawberry.union("VerifyRecoveryCodeResult", description="Outcomes of `verifyRecoveryCode`. New members may join."),
]
RestartEnrollmentResult = Annotated[
    EnrollmentRestarted | EnrollmentCodeRequired | ChallengeExpired | AlreadyEnrolled | RateLimited,
    strawberry.union("RestartEnrollmentResult", description="Outcomes of `restartEnrollment`. New members may join."),
]
RefreshSessionResult = Annotated[
    SignedIn | SessionExpired | InvalidInput | RateLimited,
    strawberry.union("RefreshSessionResult", description="Outcomes of `refreshSession`. New members may join."),
]
ReauthenticateResult = Annotated[
    Reauthenticated
    | InvalidOtp
    | OtpAlreadyUsed
    | InvalidRecoveryCode
    | FactorDisabled
    | NotAuthenticated
    | RateLimited,
    strawberry.union("ReauthenticateResult", description="Outcomes of `reauthenticate`. New members may join."),
]

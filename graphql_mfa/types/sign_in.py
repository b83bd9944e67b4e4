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


@strawberry.interface(description="What the results that open or renew a session have in common.")
class SignInSuccess:
    tokens: TokenPair = strawberry.field(description="The session's tokens.")
    user: User = strawberry.field(description="Who is signed in.")


@strawberry.type(description="The session is open, or was renewed.")
class SignedIn(SignInSuccess):
    pass


@strawberry.type(description="The account's second factor is now on, and the session is open.")
class EnrollmentConfirmed(SignInSuccess):
    recovery_codes: list[str] = strawberry.field(
        description="Single-use codes for when the device is lost. Shown this once: ask the user to keep them."
    )


@strawberry.type(description="The password was right; the second factor is still to come.")
class OtpRequired:
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` or `verifyRecoveryCode`.")
    enrollment_pending: bool = strawberry.field(
        description="True while the account has never verified a code; `restartEnrollment` gives it a new secret."
    )


@strawberry.type(
    description="Wrong username or wrong password: the two cases look and take the same. Of a signed-in user: the "
    "current password is wrong."
)
class InvalidCredentials(UserError):
    message: str = fixed_message("Username or password is wrong.")


@strawberry.type(description="The account has a new TOTP secret; the old one and all earlier challenges are dead.")
class EnrollmentRestarted:
    enrollment: TotpEnrollment = strawberry.field(description="What the authenticator app is set up with.")
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` to confirm the enrollment.")


@strawberry.type(
    description="The account was imported or reset: the operator's enrollment code is needed. It counts until the "
    "first one-time code is verified."
)
class EnrollmentCodeRequired(UserError):
    message: str = fixed_message("Enter the enrollment code that your administrator gave you.")


@strawberry.type(description="The account has confirmed a second factor; its secret can't be replaced this way.")
class AlreadyEnrolled(UserError):
    message: str = fixed_message("This account is set up already. Enter the code that your authenticator app shows.")


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

"""The outcomes of each operation, as unions."""

from datetime import datetime
from typing import Annotated

import strawberry

from graphql_mfa.api.errors import (
    AlreadyEnrolled,
    ChallengeExpired,
    EnrollmentCodeRequired,
    FactorDisabled,
    InvalidCredentials,
    InvalidInput,
    InvalidOtp,
    InvalidRecoveryCode,
    LastFactor,
    NotAuthenticated,
    NotFound,
    OtpAlreadyUsed,
    RateLimited,
    ReauthenticationRequired,
    RegistrationClosed,
    RegistrationRefused,
    ResetRejected,
    SessionExpired,
    TooManyDevices,
    UsernameTaken,
)
from graphql_mfa.api.types import Challenge, TokenPair, TotpDevice, TotpEnrollment, User


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


@strawberry.type(description="The account exists. It can be used once its first code was verified.")
class RegisterUserSuccess:
    user: User = strawberry.field(description="The new account.")
    enrollment: TotpEnrollment = strawberry.field(description="What the authenticator app is set up with.")
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` to confirm the enrollment at once.")


@strawberry.type(description="The password was right; the second factor is still to come.")
class OtpRequired:
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` or `verifyRecoveryCode`.")
    enrollment_pending: bool = strawberry.field(
        description="True while the account has never verified a code; `restartEnrollment` gives it a new secret."
    )


@strawberry.type(description="The account has a new TOTP secret; the old one and all earlier challenges are dead.")
class EnrollmentRestarted:
    enrollment: TotpEnrollment = strawberry.field(description="What the authenticator app is set up with.")
    challenge: Challenge = strawberry.field(description="Answer it with `verifyOtp` to confirm the enrollment.")


@strawberry.type(description="The session is over, or all of the user's sessions are.")
class LogoutSuccess:
    sessions_ended: int = strawberry.field(description="How many sessions were ended.")


@strawberry.type(description="The session counts as fresh. Its refresh token stays as it is.")
class Reauthenticated:
    access_token: str = strawberry.field(description="Takes the place of the one before, which knows less.")
    access_token_expires_at: datetime = strawberry.field(description="When it expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    user: User = strawberry.field(description="Whose session it is.")


@strawberry.type(description="A new set of recovery codes; the old one is dead.")
class RecoveryCodes:
    recovery_codes: list[str] = strawberry.field(
        description="Single-use codes for when the device is lost. Shown this once: ask the user to keep them."
    )
    user: User = strawberry.field(description="Whose codes they are.")


@strawberry.type(description="The authenticator app was added. It counts once its first code was confirmed.")
class TotpDeviceAdded:
    device: TotpDevice = strawberry.field(description="Confirm it with `confirmTotpDevice`, in this session, soon.")
    enrollment: TotpEnrollment = strawberry.field(description="What the authenticator app is set up with.")
    user: User = strawberry.field(description="Whose app it is.")


@strawberry.type(description="The authenticator app counts: its codes are accepted from now on.")
class TotpDeviceConfirmed:
    device: TotpDevice = strawberry.field(description="The app.")
    user: User = strawberry.field(description="Whose app it is.")


@strawberry.type(description="The authenticator app has the new name.")
class TotpDeviceRenamed:
    device: TotpDevice = strawberry.field(description="The app.")


@strawberry.type(description="The second factor is gone: nothing that it shows is accepted any more.")
class FactorRemoved:
    id: strawberry.ID = strawberry.field(description="Of what was removed.")
    user: User = strawberry.field(description="Whose factor it was.")
    sessions_ended: int = strawberry.field(
        description="How many other sessions were ended: those that it had opened or verified last."
    )


@strawberry.type(
    description="The account has a new password. Its other sessions were ended, after a reset all of them, and so was "
    "every open challenge; one-time codes that were off are on again."
)
class PasswordChanged:
    sessions_ended: int = strawberry.field(description="How many sessions were ended.")


@strawberry.type(description="The session is over at once, everywhere.")
class SessionRevoked:
    id: strawberry.ID = strawberry.field(description="The session's id.")
    user: User = strawberry.field(description="Whose session it was.")


@strawberry.type(description="The account is gone, with everything personal; nobody may take its name for a while.")
class AccountDeleted:
    username: str = strawberry.field(description="The name that it had.")


RegisterUserResult = Annotated[
    RegisterUserSuccess | UsernameTaken | InvalidInput | RegistrationClosed | RegistrationRefused | RateLimited,
    strawberry.union("RegisterUserResult", description="Outcomes of `registerUser`. New members may join."),
]
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
    SignedIn | SessionExpired | RateLimited,
    strawberry.union("RefreshSessionResult", description="Outcomes of `refreshSession`. New members may join."),
]
LogoutResult = Annotated[
    LogoutSuccess | NotAuthenticated,
    strawberry.union("LogoutResult", description="Outcomes of `logout`. New members may join."),
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
RegenerateRecoveryCodesResult = Annotated[
    RecoveryCodes | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union(
        "RegenerateRecoveryCodesResult", description="Outcomes of `regenerateRecoveryCodes`. New members may join."
    ),
]
AddTotpDeviceResult = Annotated[
    TotpDeviceAdded | InvalidInput | TooManyDevices | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("AddTotpDeviceResult", description="Outcomes of `addTotpDevice`. New members may join."),
]
ConfirmTotpDeviceResult = Annotated[
    TotpDeviceConfirmed | InvalidOtp | OtpAlreadyUsed | FactorDisabled | NotFound | NotAuthenticated | RateLimited,
    strawberry.union("ConfirmTotpDeviceResult", description="Outcomes of `confirmTotpDevice`. New members may join."),
]
RenameTotpDeviceResult = Annotated[
    TotpDeviceRenamed | InvalidInput | NotFound | NotAuthenticated,
    strawberry.union("RenameTotpDeviceResult", description="Outcomes of `renameTotpDevice`. New members may join."),
]
RemoveFactorResult = Annotated[
    FactorRemoved | LastFactor | NotFound | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("RemoveFactorResult", description="Outcomes of removing a second factor. New members may join."),
]
ChangePasswordResult = Annotated[
    PasswordChanged | InvalidCredentials | InvalidInput | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("ChangePasswordResult", description="Outcomes of `changePassword`. New members may join."),
]
ResetPasswordResult = Annotated[
    PasswordChanged | ResetRejected | InvalidInput | RateLimited,
    strawberry.union("ResetPasswordResult", description="Outcomes of `resetPassword`. New members may join."),
]
RevokeSessionResult = Annotated[
    SessionRevoked | NotFound | NotAuthenticated | RateLimited,
    strawberry.union("RevokeSessionResult", description="Outcomes of `revokeSession`. New members may join."),
]
DeleteAccountResult = Annotated[
    AccountDeleted | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("DeleteAccountResult", description="Outcomes of `deleteAccount`. New members may join."),
]

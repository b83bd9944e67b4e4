"""The failures a person or an app can act on."""

import enum
import math

import strawberry

from graphql_mfa.api.types import FactorKind

_ATTEMPTS_LEFT = "Answers that are still accepted. At 0, log in again where it was for a challenge; else wait a little."


def _message(text: str) -> str:
    field: str = strawberry.field(default=text, description="What happened and what to do, in English, for a person.")
    return field


@strawberry.interface(
    description="An expected failure that a person or an app can act on. Every failure member of a `...Result` union "
    "implements it; new ones may join a union at any time, so select `... on UserError { message }` and keep a "
    "default branch."
)
class UserError:
    message: str = strawberry.field(description="What happened and what to do, in English, for a person.")


@strawberry.enum(description="Why a value was refused. New values may be added.")
class FieldErrorCode(enum.Enum):
    TOO_SHORT = strawberry.enum_value("TOO_SHORT", description="Fewer characters than `policy` allows.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="More characters than `policy` allows.")
    INVALID_CHARACTERS = strawberry.enum_value(
        "INVALID_CHARACTERS", description="It holds characters that are not allowed in this field."
    )
    TOO_COMMON = strawberry.enum_value(
        "TOO_COMMON", description="The password is common or easily guessed; the message says why and what would help."
    )
    CONTAINS_USERNAME = strawberry.enum_value("CONTAINS_USERNAME", description="The password contains the username.")
    UNCHANGED = strawberry.enum_value("UNCHANGED", description="The new value is the old one.")


@strawberry.type(description="One thing that is wrong with one field of the input.")
class FieldError:
    field: str = strawberry.field(description='The input field\'s name, as in "password".')
    code: FieldErrorCode = strawberry.field(description="What is wrong, for a program.")
    message: str = strawberry.field(description="What is wrong, for a person. It never repeats the value.")


@strawberry.type(description="The input does not meet the rules; `fields` lists all problems at once.")
class InvalidInput(UserError):
    message: str = _message("Please correct the marked fields.")
    fields: list[FieldError] = strawberry.field(description="Every problem that was found.")


@strawberry.type(description="The username belongs to another account. Names that differ only in case are one name.")
class UsernameTaken(UserError):
    message: str = _message("This username is taken. Choose another one.")


@strawberry.type(description="This server does not take registrations; `policy.registrationOpen` is false.")
class RegistrationClosed(UserError):
    message: str = _message("Registration is closed.")


@strawberry.type(
    description="This server has a condition of its own for registrations, such as a captcha or an invitation, and it "
    "was not met. `message` says which; where the server sends none, the member does not occur."
)
class RegistrationRefused(UserError):
    pass


@strawberry.type(
    description="Wrong username or wrong password: the two cases look and take the same. Of a signed-in user: the "
    "current password is wrong."
)
class InvalidCredentials(UserError):
    message: str = _message("Username or password is wrong.")


@strawberry.type(description="The one-time code is wrong. The attempt was counted.")
class InvalidOtp(UserError):
    attempts_left: int = strawberry.field(description=_ATTEMPTS_LEFT)
    clock_behind_seconds: int | None = strawberry.field(
        default=None,
        description="Set when the code was right that many seconds ago: the device's clock is behind; set it to "
        "automatic time.",
    )

    @classmethod
    def of(cls, attempts_left: int, clock_behind_seconds: int | None) -> "InvalidOtp":
        message = "This code is wrong. Enter the code that your authenticator app shows now."
        if clock_behind_seconds is not None:
            message = (
                f"This code was right {clock_behind_seconds} seconds ago: your device's clock is slow. Set it to "
                "automatic time, then enter a new code."
            )
        elif not attempts_left:
            message = "This code is wrong, and it was the last try. Log in again, or wait a little."
        return cls(message=message, attempts_left=attempts_left, clock_behind_seconds=clock_behind_seconds)


@strawberry.type(description="A right code, used before. The next one works. The attempt was counted.")
class OtpAlreadyUsed(UserError):
    message: str = _message("This code was used before. Wait for the next one.")
    retry_after: int = strawberry.field(description="Seconds until the device shows a code that can be accepted.")
    attempts_left: int = strawberry.field(description=_ATTEMPTS_LEFT)


@strawberry.type(description="The recovery code is wrong or was used before. The attempt was counted.")
class InvalidRecoveryCode(UserError):
    attempts_left: int = strawberry.field(description=_ATTEMPTS_LEFT)

    @classmethod
    def of(cls, attempts_left: int) -> "InvalidRecoveryCode":
        advice = "Enter another one." if attempts_left else "It was the last try: log in again, or wait a little."
        return cls(message=f"This recovery code is wrong, or was used before. {advice}", attempts_left=attempts_left)


@strawberry.type(description="The challenge is unknown, answered, or too old: log in again.")
class ChallengeExpired(UserError):
    message: str = _message("This sign-in has expired. Log in again.")


@strawberry.type(
    description="Too many wrong codes: one-time codes are off for this account until its owner signs in with a "
    "recovery code and sets a new password by `changePassword`, or an operator helps."
)
class FactorDisabled(UserError):
    message: str = _message(
        "One-time codes are switched off after too many wrong ones. Sign in with a recovery code, then change your "
        "password: that switches them on again."
    )


@strawberry.type(description="The account was imported or reset: the operator's enrollment code is needed, once.")
class EnrollmentCodeRequired(UserError):
    message: str = _message("Enter the enrollment code that your administrator gave you.")


@strawberry.type(description="The account has confirmed a second factor; its secret can't be replaced this way.")
class AlreadyEnrolled(UserError):
    message: str = _message("This account is set up already. Enter the code that your authenticator app shows.")


@strawberry.type(
    description="The refresh token is unknown, was used before, or its session is over: the user signs in again."
)
class SessionExpired(UserError):
    message: str = _message("Your session has expired. Log in again.")


@strawberry.enum(description="Why a request counts as nobody's. New values may be added.")
class NotAuthenticatedReason(enum.Enum):
    TOKEN_MISSING = strawberry.enum_value("TOKEN_MISSING", description="No token was sent.")
    TOKEN_INVALID = strawberry.enum_value("TOKEN_INVALID", description="The token is not one of this server's.")
    TOKEN_EXPIRED = strawberry.enum_value(
        "TOKEN_EXPIRED", description="The access token's time is over: call `refreshSession`, then retry."
    )
    SESSION_ENDED = strawberry.enum_value("SESSION_ENDED", description="The session was ended, or expired.")


_NOT_AUTHENTICATED = {
    NotAuthenticatedReason.TOKEN_MISSING: "You are not signed in. Log in first.",
    NotAuthenticatedReason.TOKEN_INVALID: "This token is not valid here. Log in again.",
    NotAuthenticatedReason.TOKEN_EXPIRED: "Your access token has expired. Refresh the session, then try again.",
    NotAuthenticatedReason.SESSION_ENDED: "Your session is over. Log in again.",
}


@strawberry.type(description="The operation needs a signed-in user.")
class NotAuthenticated(UserError):
    reason: NotAuthenticatedReason = strawberry.field(description="Why, for a program.")

    @classmethod
    def of(cls, reason: NotAuthenticatedReason) -> "NotAuthenticated":
        return cls(message=_NOT_AUTHENTICATED[reason], reason=reason)


@strawberry.type(
    description="The operation is sensitive, and this session verified a second factor too long ago: call "
    "`reauthenticate`, then repeat it with the new access token."
)
class ReauthenticationRequired(UserError):
    message: str = _message("Please confirm that it is you, with a code, then try again.")
    factors: list[FactorKind] = strawberry.field(description="What can be verified now.")


@strawberry.type(
    description="The one-time code or the recovery code is wrong, was used before or is not accepted now, or there is "
    "no such account: which of these is not told. The attempt was counted."
)
class ResetRejected(UserError):
    message: str = _message(
        "The password was not reset: the name or one of the two codes is wrong, or can't be used now. Enter all three "
        "again, with the code that your authenticator app shows next."
    )


@strawberry.type(description="Nothing was tried or counted by this call: wait, then repeat it.")
class RateLimited(UserError):
    retry_after: int = strawberry.field(description="Seconds to wait.")

    @classmethod
    def of(cls, retry_after: int, *, new_address: bool) -> "RateLimited":
        minutes = math.ceil(retry_after / 60)
        wait = f"{minutes} minutes" if minutes > 1 else f"{retry_after} seconds"
        message = f"Too many attempts. Try again in {wait}."
        if new_address:
            message += " If that keeps failing, use a network from which you signed in before, or ask for help."
        return cls(message=message, retry_after=retry_after)


@strawberry.type(
    description="The account has as many authenticator apps as it can have, those that are to be confirmed included."
)
class TooManyDevices(UserError):
    message: str = _message("You have as many authenticator apps as you can have. Remove one first.")


@strawberry.type(
    description="The account's last second factor can't be removed. Recovery codes don't count: they run out."
)
class LastFactor(UserError):
    message: str = _message("This is your last second factor. Add another one first.")


@strawberry.type(description="The account has nothing of that id: it is gone, or never was.")
class NotFound(UserError):
    message: str = _message("This is not there any more. Load the page again.")

"""What the operations take."""

import strawberry


@strawberry.input(description="The account to create.")
class RegisterUserInput:
    username: str = strawberry.field(
        description="Shown as typed; unique whatever its case, width or composition. No colon, no control or invisible "
        "characters, no space at its start or end. Its lengths are in `policy`."
    )
    password: str = strawberry.field(
        description="Any characters, none demanded; refused when common or easily guessed. Its lengths are in `policy`."
    )


@strawberry.input(description="Username and password.")
class LoginInput:
    username: str = strawberry.field(
        description="Upper and lower case, full-width and composed forms are treated alike."
    )
    password: str = strawberry.field(description="The account's password.")


@strawberry.input(description="The answer to a challenge.")
class VerifyOtpInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`.")
    otp: str = strawberry.field(description="The code that the authenticator app shows; spaces don't matter.")


@strawberry.input(description="The answer to a challenge when the device is lost.")
class VerifyRecoveryCodeInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`.")
    recovery_code: str = strawberry.field(
        description="One of the recovery codes; case, spaces, hyphens and look-alike letters (O, I, L) don't matter."
    )


@strawberry.input(description="Which enrollment to restart.")
class RestartEnrollmentInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`, from `registerUser` or `login`.")
    enrollment_code: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Issued by an operator; needed for accounts that were imported or reset.",
    )


@strawberry.input(description="The token to trade in.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="`TokenPair.refreshToken`, the newest one.")


@strawberry.input(one_of=True, description="One of the two: a one-time code or a recovery code.")
class ReauthenticateInput:
    otp: strawberry.Maybe[str] = strawberry.field(
        description="The code that the authenticator app shows; spaces don't matter."
    )
    recovery_code: strawberry.Maybe[str] = strawberry.field(description="One of the recovery codes, which is used up.")


_NAME = "1 to 64 Unicode code points, shown as typed. No control or invisible characters, no space at its start or end."


@strawberry.input(description="The authenticator app to add.")
class AddTotpDeviceInput:
    name: str = strawberry.field(description=_NAME)


@strawberry.input(description="The first code of an authenticator app.")
class ConfirmTotpDeviceInput:
    id: strawberry.ID = strawberry.field(description="`TotpDevice.id`.")
    otp: str = strawberry.field(description="The code that this app shows; spaces don't matter.")


@strawberry.input(description="Another name for an authenticator app.")
class RenameTotpDeviceInput:
    id: strawberry.ID = strawberry.field(description="`TotpDevice.id`.")
    name: str = strawberry.field(description=_NAME)


@strawberry.input(description="The password of the signed-in user, and the one that takes its place.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The account's password as it is.")
    new_password: str = strawberry.field(
        description="Another one. Any characters, none demanded; refused when common or easily guessed. Its lengths "
        "are in `policy`."
    )


@strawberry.input(description="Whose password to reset, two proofs that do not need it, and the new one.")
class ResetPasswordInput:
    username: str = strawberry.field(
        description="Upper and lower case, full-width and composed forms are treated alike."
    )
    otp: str = strawberry.field(description="The code that the authenticator app shows; spaces don't matter.")
    recovery_code: str = strawberry.field(
        description="One of the recovery codes; case, spaces, hyphens and look-alike letters (O, I, L) don't matter. "
        "It is used up with the one-time code, or neither is."
    )
    new_password: str = strawberry.field(
        description="Any characters, none demanded; refused when common or easily guessed. Its lengths are in `policy`."
    )

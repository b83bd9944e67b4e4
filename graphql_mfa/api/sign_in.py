"""Signing in by a password and a second factor."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import ENROLLMENT_CODE, INPUT, SPELLING, given, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.sign_in import login, restart_enrollment, verify_otp, verify_recovery_code
from graphql_mfa.types.sign_in import LoginResult, RestartEnrollmentResult, VerifyOtpResult, VerifyRecoveryCodeResult


@strawberry.input(description="Username and password.")
class LoginInput:
    username: str = strawberry.field(
        description="In upper or lower case, and any width or composition; surrounding spaces are ignored."
    )
    password: str = strawberry.field(description="The account's password.")


@strawberry.input(description="The answer to a challenge.")
class VerifyOtpInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`.")
    otp: str = strawberry.field(description=f"The code that the authenticator app shows, in {SPELLING}")


@strawberry.input(description="The answer to a challenge without the app or passkey.")
class VerifyRecoveryCodeInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`.")
    recovery_code: str = strawberry.field(
        description="One of the recovery codes, in upper or lower case, with look-alike letters (O, I, L) and "
        f"{SPELLING}"
    )


@strawberry.input(description="The enrollment to restart.")
class RestartEnrollmentInput:
    challenge_token: str = strawberry.field(description="`Challenge.token`, from `registerUser` or `login`.")
    enrollment_code: str | None = strawberry.field(default=strawberry.UNSET, description=ENROLLMENT_CODE)


@strawberry.type
class SignInMutation:
    @mutation(takes_secret=True, description="Check username and password, and ask for the second factor.")
    async def login(self, info: Info, input: Annotated[LoginInput, INPUT]) -> LoginResult:
        return await login(info.context.call, input.username, input.password)

    @mutation(
        takes_secret=True,
        description="Answer a challenge with a one-time code. While enrollment is pending, it confirms the "
        "authenticator app as the account's first factor.",
    )
    async def verify_otp(self, info: Info, input: Annotated[VerifyOtpInput, INPUT]) -> VerifyOtpResult:
        return await verify_otp(info.context.call, input.challenge_token, input.otp)

    @mutation(
        takes_secret=True,
        description="Answer a challenge with a recovery code instead of a one-time code or a passkey.",
    )
    async def verify_recovery_code(
        self, info: Info, input: Annotated[VerifyRecoveryCodeInput, INPUT]
    ) -> VerifyRecoveryCodeResult:
        return await verify_recovery_code(info.context.call, input.challenge_token, input.recovery_code)

    @mutation(
        takes_secret=True,
        description="A fresh TOTP secret for an account whose enrollment was never confirmed. The old secret and all "
        "open challenges stop working, with the ceremonies of passkeys that they began.",
    )
    async def restart_enrollment(
        self, info: Info, input: Annotated[RestartEnrollmentInput, INPUT]
    ) -> RestartEnrollmentResult:
        return await restart_enrollment(info.context.call, input.challenge_token, given(input.enrollment_code))

"""The mutations that sign in and out, or get one back in: read the input, call the use case, present the outcome."""

from typing import Annotated

import strawberry

from graphql_mfa.api import inputs, results
from graphql_mfa.api.answer import answer
from graphql_mfa.api.present import Result
from graphql_mfa.context import Info
from graphql_mfa.flows.login import login
from graphql_mfa.flows.logout import logout
from graphql_mfa.flows.refresh_session import refresh_session
from graphql_mfa.flows.register_user import register_user
from graphql_mfa.flows.reset_password import reset_password
from graphql_mfa.flows.restart_enrollment import restart_enrollment
from graphql_mfa.flows.verify_otp import verify_otp
from graphql_mfa.flows.verify_recovery_code import verify_recovery_code
from graphql_mfa.http import cookie_mode

_input = strawberry.argument(description="What the operation takes.")


@strawberry.type
class SignInMutation:
    @strawberry.mutation(
        graphql_type=results.RegisterUserResult,
        description="Create an account and start its TOTP enrollment. The account is usable once its first code was "
        "verified; one that never was is deleted after a day.",
    )
    async def register_user(self, info: Info, input: Annotated[inputs.RegisterUserInput, _input]) -> Result:
        context = info.context
        return answer(info, await register_user(context.services, input.username, input.password, context.client))

    @strawberry.mutation(
        graphql_type=results.LoginResult, description="Check username and password, and ask for the second factor."
    )
    async def login(self, info: Info, input: Annotated[inputs.LoginInput, _input]) -> Result:
        context = info.context
        return answer(info, await login(context.services, input.username, input.password, context.client))

    @strawberry.mutation(
        graphql_type=results.VerifyOtpResult,
        description="Answer a challenge with a one-time code. The first code an account verifies switches its second "
        "factor on.",
    )
    async def verify_otp(self, info: Info, input: Annotated[inputs.VerifyOtpInput, _input]) -> Result:
        context = info.context
        return answer(info, await verify_otp(context.services, input.challenge_token, input.otp, context.client))

    @strawberry.mutation(
        graphql_type=results.VerifyRecoveryCodeResult,
        description="Answer a challenge with a recovery code instead of a one-time code.",
    )
    async def verify_recovery_code(
        self, info: Info, input: Annotated[inputs.VerifyRecoveryCodeInput, _input]
    ) -> Result:
        context = info.context
        return answer(
            info,
            await verify_recovery_code(context.services, input.challenge_token, input.recovery_code, context.client),
        )

    @strawberry.mutation(
        graphql_type=results.RestartEnrollmentResult,
        description="A fresh TOTP secret for an account whose enrollment was never confirmed. The old secret and all "
        "open challenges stop working.",
    )
    async def restart_enrollment(self, info: Info, input: Annotated[inputs.RestartEnrollmentInput, _input]) -> Result:
        return answer(
            info,
            await restart_enrollment(info.context.services, input.challenge_token, input.enrollment_code or None),
        )

    @strawberry.mutation(
        graphql_type=results.RefreshSessionResult,
        description="Trade a refresh token for a new pair. An old token used again ends the session. No `input` in "
        "cookie mode, where the token travels in an HttpOnly cookie.",
    )
    async def refresh_session(
        self,
        info: Info,
        input: Annotated[inputs.RefreshSessionInput | None, _input] = strawberry.UNSET,
    ) -> Result:
        context = info.context
        token, is_cookie = cookie_mode.given_or_cookie(context, input.refresh_token if input else None)
        outcome = await refresh_session(context.services, token or "", context.client)
        return answer(info, outcome, refused_cookie=is_cookie)

    @strawberry.mutation(
        graphql_type=results.LogoutResult,
        description="End this session, or all of the user's sessions. The refresh token serves where the access token "
        "has expired.",
    )
    async def logout(
        self,
        info: Info,
        everywhere: Annotated[
            bool,
            strawberry.argument(
                description="End all of the user's sessions. A refresh token that was traded in ends its own alone."
            ),
        ] = False,
        refresh_token: Annotated[
            str | None, strawberry.argument(description="Identifies the session without a valid access token.")
        ] = strawberry.UNSET,
    ) -> Result:
        context = info.context
        token, is_cookie = cookie_mode.given_or_cookie(context, refresh_token)
        outcome = await logout(context.services, context.access_token, token, context.client, everywhere=everywhere)
        return answer(info, outcome, refused_cookie=is_cookie)

    @strawberry.mutation(
        graphql_type=results.ResetPasswordResult,
        description="Set a new password without the old one, with a one-time code and a recovery code: two independent "
        "proofs. Opens no session, and ends all that the user has.",
    )
    async def reset_password(self, info: Info, input: Annotated[inputs.ResetPasswordInput, _input]) -> Result:
        context = info.context
        return answer(
            info,
            await reset_password(
                context.services,
                input.username,
                input.otp,
                input.recovery_code,
                input.new_password,
                context.client,
            ),
        )

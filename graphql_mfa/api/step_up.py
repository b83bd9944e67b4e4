"""Verifying a second factor again within a session."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, SPELLING, mutation
from graphql_mfa.api.passkeys import CREDENTIAL
from graphql_mfa.context import Info
from graphql_mfa.flows.step_up import begin_passkey_reauthentication, reauthenticate
from graphql_mfa.types.passkeys import WebAuthnJSON
from graphql_mfa.types.step_up import BeginPasskeyReauthenticationResult, ReauthenticateResult


@strawberry.input(description="The answer of a passkey.")
class PasskeyAnswerInput:
    ceremony_token: str = strawberry.field(
        description="`PasskeyCeremony.ceremonyToken` of `beginPasskeyReauthentication`."
    )
    credential: WebAuthnJSON = strawberry.field(description=CREDENTIAL)


@strawberry.input(one_of=True, description="A one-time code, a recovery code, or a passkey.")
class ReauthenticateInput:
    otp: strawberry.Maybe[str] = strawberry.field(
        description=f"The code that the authenticator app shows, in {SPELLING}"
    )
    recovery_code: strawberry.Maybe[str] = strawberry.field(description="One of the recovery codes, which is used up.")
    passkey: strawberry.Maybe[PasskeyAnswerInput] = strawberry.field(
        description="A passkey. In a session that no password opened, it has to verify its user."
    )


@strawberry.type
class StepUpMutation:
    @mutation(
        takes_secret=True,
        description="Verify a second factor again within the current session, as sensitive operations require. The "
        "refresh token stays the same.",
    )
    async def reauthenticate(self, info: Info, input: Annotated[ReauthenticateInput, INPUT]) -> ReauthenticateResult:
        return await reauthenticate(
            info.context.call,
            otp=input.otp.value if input.otp else None,
            recovery_code=input.recovery_code.value if input.recovery_code else None,
            passkey=input.passkey.value if input.passkey else None,
        )

    @mutation(
        description="Begin to verify a passkey again within the current session. `reauthenticate` takes the answer."
    )
    async def begin_passkey_reauthentication(self, info: Info) -> BeginPasskeyReauthenticationResult:
        return await begin_passkey_reauthentication(info.context.call)

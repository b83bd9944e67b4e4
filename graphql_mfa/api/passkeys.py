"""Ceremonies of passkeys, and managing passkeys."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import ENROLLMENT_CODE, INPUT, given, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.passkeys import (
    begin_passkey_login,
    begin_passkey_registration,
    finish_passkey_login,
    finish_passkey_registration,
    remove_passkey,
    rename_passkey,
)
from graphql_mfa.types.passkeys import RenamePasskeyResult, WebAuthnJSON
from graphql_mfa.types.second_factors import RemoveFactorResult
from graphql_mfa.types.sign_in import (
    BeginPasskeyLoginResult,
    BeginPasskeyRegistrationResult,
    FinishPasskeyLoginResult,
    FinishPasskeyRegistrationResult,
)

_CEREMONY_TOKEN = "`PasskeyCeremony.ceremonyToken`. An answer uses it up, even one that is refused."
CREDENTIAL = "The result of `toJSON()` of the browser's `PublicKeyCredential`."


@strawberry.input(description="The account that adds a passkey: the signed-in user's, unless a challenge names it.")
class BeginPasskeyRegistrationInput:
    challenge_token: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="`Challenge.token`, while enrollment is pending: the passkey becomes the account's first factor.",
    )
    enrollment_code: str | None = strawberry.field(default=strawberry.UNSET, description=ENROLLMENT_CODE)
    conditional: bool = strawberry.field(
        default=False,
        description='For `mediation: "conditional"`: the browser adds the passkey without a dialogue, right after a '
        "sign-in with password and second factor.",
    )


@strawberry.input(description="The new passkey.")
class FinishPasskeyRegistrationInput:
    ceremony_token: str = strawberry.field(description=_CEREMONY_TOKEN)
    credential: WebAuthnJSON = strawberry.field(description=CREDENTIAL)
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 64 characters. By default the kind of authenticator."
    )


@strawberry.input(description="The challenge that the passkey answers, if any.")
class BeginPasskeyLoginInput:
    challenge_token: str | None = strawberry.field(
        default=strawberry.UNSET, description="`Challenge.token`, for the second factor after a password."
    )


@strawberry.input(description="The answer of a passkey.")
class FinishPasskeyLoginInput:
    ceremony_token: str = strawberry.field(description=_CEREMONY_TOKEN)
    credential: WebAuthnJSON = strawberry.field(description=CREDENTIAL)


@strawberry.input(description="The passkey to rename.")
class RenamePasskeyInput:
    id: strawberry.ID = strawberry.field(description="`Passkey.id`.")
    name: str = strawberry.field(description="1 to 64 characters; need not be unique.")


@strawberry.type
class PasskeyMutation:
    @mutation(
        takes_secret=True,
        description="Begin to add a passkey. With the challenge of an account whose enrollment is pending, it becomes "
        "the first factor, in place of an authenticator app. For a signed-in user, it becomes another factor.",
        needs_recent_factor=True,
    )
    async def begin_passkey_registration(
        self, info: Info, input: Annotated[BeginPasskeyRegistrationInput | None, INPUT] = strawberry.UNSET
    ) -> BeginPasskeyRegistrationResult:
        asked = input or BeginPasskeyRegistrationInput()
        return await begin_passkey_registration(
            info.context.call,
            challenge_token=given(asked.challenge_token),
            enrollment_code=given(asked.enrollment_code),
            conditional=asked.conditional,
        )

    @mutation(
        takes_secret=True,
        description="Add the passkey that the browser created. The first factor of an account opens a session.",
    )
    async def finish_passkey_registration(
        self, info: Info, input: Annotated[FinishPasskeyRegistrationInput, INPUT]
    ) -> FinishPasskeyRegistrationResult:
        return await finish_passkey_registration(info.context.call, input, given(input.name))

    @mutation(
        takes_secret=True,
        description="Begin to sign in with a passkey: as the second factor of a challenge or, without one, alone. "
        "Alone, the passkey has to verify its user, which makes it two factors.",
    )
    async def begin_passkey_login(
        self, info: Info, input: Annotated[BeginPasskeyLoginInput | None, INPUT] = strawberry.UNSET
    ) -> BeginPasskeyLoginResult:
        return await begin_passkey_login(info.context.call, given(input.challenge_token) if input else None)

    @mutation(takes_secret=True, description="Sign in with the passkey's answer.")
    async def finish_passkey_login(
        self, info: Info, input: Annotated[FinishPasskeyLoginInput, INPUT]
    ) -> FinishPasskeyLoginResult:
        return await finish_passkey_login(info.context.call, input)

    @mutation(description="Rename a passkey.")
    async def rename_passkey(self, info: Info, input: Annotated[RenamePasskeyInput, INPUT]) -> RenamePasskeyResult:
        return await rename_passkey(info.context.call, input.id, input.name)

    @mutation(
        needs_recent_factor=True,
        description="Remove a passkey, unless it is the last second factor. Ends the other sessions that it opened or "
        "verified last.",
    )
    async def remove_passkey(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="`Passkey.id`.")]
    ) -> RemoveFactorResult:
        return await remove_passkey(info.context.call, id)

"""Registering and deleting accounts."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.accounts import delete_account, register_user
from graphql_mfa.types.accounts import DeleteAccountResult, RegisterUserResult


@strawberry.input(description="The account to create.")
class RegisterUserInput:
    username: str = strawberry.field(
        description="Shown as typed. Unique regardless of upper and lower case, width and composition, and among "
        "look-alike names. One script between spaces, dots, hyphens, underscores and @; no colon, no control or "
        "invisible characters, and no surrounding spaces. The allowed lengths are in `policy`."
    )
    password: str = strawberry.field(
        description="Any characters; refused if common or easily guessed. The allowed lengths are in `policy`."
    )


@strawberry.type
class AccountMutation:
    @mutation(
        takes_secret=True,
        description="Create an account and start its TOTP enrollment. The account is usable once its first factor is "
        "confirmed, by a one-time code or a passkey; unconfirmed accounts are deleted after a day.",
    )
    async def register_user(self, info: Info, input: Annotated[RegisterUserInput, INPUT]) -> RegisterUserResult:
        return await register_user(info.context.call, input.username, input.password)

    @mutation(
        needs_recent_factor=True,
        description="Delete the account, with all personal data, permanently. Its name is reserved for a while.",
    )
    async def delete_account(self, info: Info) -> DeleteAccountResult:
        return await delete_account(info.context.call)

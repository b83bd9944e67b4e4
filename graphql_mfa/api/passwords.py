"""Changing and resetting a password."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, SPELLING, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.passwords import change_password, reset_password
from graphql_mfa.types.passwords import ChangePasswordResult, ResetPasswordResult


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
        description="Upper and lower case, full-width and composed forms are treated alike; spaces at the ends are "
        "dropped."
    )
    otp: str = strawberry.field(description=f"The code that the authenticator app shows, in {SPELLING}")
    recovery_code: str = strawberry.field(
        description=f"One of the recovery codes, in any case, look-alike letters (O, I, L) and {SPELLING} "
        "It is used up with the one-time code, or neither is."
    )
    new_password: str = strawberry.field(
        description="Any characters, none demanded; refused when common or easily guessed. Its lengths are in `policy`."
    )


@strawberry.type
class PasswordMutation:
    @mutation(
        takes_secret=True,
        needs_recent_factor=True,
        description="A new password in place of the current one. The user's other sessions and every open challenge "
        "are ended; one-time codes that were switched off are on again.",
    )
    async def change_password(self, info: Info, input: Annotated[ChangePasswordInput, INPUT]) -> ChangePasswordResult:
        context = info.context
        return await change_password(
            context.services, context.access_token, input.current_password, input.new_password, context.client
        )

    @mutation(
        takes_secret=True,
        description="Set a new password without the old one, with a one-time code and a recovery code: two independent "
        "proofs. Opens no session, and ends all that the user has.",
    )
    async def reset_password(self, info: Info, input: Annotated[ResetPasswordInput, INPUT]) -> ResetPasswordResult:
        context = info.context
        return await reset_password(
            context.services,
            input.username,
            input.otp,
            input.recovery_code,
            input.new_password,
            context.client,
        )

"""Changing and resetting a password."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, SPELLING, given, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.passwords import change_password, reset_password
from graphql_mfa.types.passwords import ChangePasswordResult, ResetPasswordResult


@strawberry.input(description="The signed-in user's password, and the new one.")
class ChangePasswordInput:
    current_password: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The account's current password. Not required if a passkey that was added at least a day ago "
        "verified the user in this session within the last five minutes.",
    )
    new_password: str = strawberry.field(
        description="Any characters; refused if unchanged, common or easily guessed. The allowed lengths are in "
        "`policy`."
    )


@strawberry.input(description="The account, two proofs of ownership, and the new password.")
class ResetPasswordInput:
    username: str = strawberry.field(
        description="In upper or lower case, and any width or composition; surrounding spaces are ignored."
    )
    otp: str = strawberry.field(description=f"The code that the authenticator app shows, in {SPELLING}")
    recovery_code: str = strawberry.field(
        description="One of the recovery codes, in upper or lower case, with look-alike letters (O, I, L) and "
        f"{SPELLING} Both codes are used up, or neither."
    )
    new_password: str = strawberry.field(
        description="Any characters; refused if common or easily guessed. The allowed lengths are in `policy`."
    )


@strawberry.type
class PasswordMutation:
    @mutation(
        takes_secret=True,
        needs_recent_factor=True,
        description="A new password in place of the current one. Ends the user's other sessions and open challenges; "
        "switches one-time codes on again.",
    )
    async def change_password(self, info: Info, input: Annotated[ChangePasswordInput, INPUT]) -> ChangePasswordResult:
        return await change_password(info.context.call, given(input.current_password), input.new_password)

    @mutation(
        takes_secret=True,
        description="Set a new password without the old one, with a one-time code and a recovery code: two independent "
        "proofs. Requires an authenticator app. Ends all of the user's sessions, and opens none.",
    )
    async def reset_password(self, info: Info, input: Annotated[ResetPasswordInput, INPUT]) -> ResetPasswordResult:
        return await reset_password(
            info.context.call, input.username, input.otp, input.recovery_code, input.new_password
        )

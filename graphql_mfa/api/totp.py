"""Adding, confirming, renaming and removing authenticator apps."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, SPELLING, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.totp import add_totp_device, confirm_totp_device, remove_totp_device, rename_totp_device
from graphql_mfa.types.second_factors import RemoveFactorResult
from graphql_mfa.types.totp import AddTotpDeviceResult, ConfirmTotpDeviceResult, RenameTotpDeviceResult

_NAME = (
    "1 to 64 Unicode code points; surrounding spaces are removed. No control or invisible characters, except those "
    "that shape emoji and letters."
)


@strawberry.input(description="The authenticator app to add.")
class AddTotpDeviceInput:
    name: str = strawberry.field(description=_NAME)


@strawberry.input(description="The first code of an authenticator app.")
class ConfirmTotpDeviceInput:
    id: strawberry.ID = strawberry.field(description="`TotpDevice.id`.")
    otp: str = strawberry.field(description=f"The code that this app shows, in {SPELLING}")


@strawberry.input(description="A new name for an authenticator app.")
class RenameTotpDeviceInput:
    id: strawberry.ID = strawberry.field(description="`TotpDevice.id`.")
    name: str = strawberry.field(description=_NAME)


@strawberry.type
class TotpMutation:
    @mutation(
        needs_recent_factor=True,
        description="Add another authenticator app. Its codes are accepted once it is confirmed.",
    )
    async def add_totp_device(self, info: Info, input: Annotated[AddTotpDeviceInput, INPUT]) -> AddTotpDeviceResult:
        return await add_totp_device(info.context.call, input.name)

    @mutation(
        takes_secret=True,
        description="Confirm an authenticator app with its first code, in the session that added it.",
    )
    async def confirm_totp_device(
        self, info: Info, input: Annotated[ConfirmTotpDeviceInput, INPUT]
    ) -> ConfirmTotpDeviceResult:
        return await confirm_totp_device(info.context.call, input.id, input.otp)

    @mutation(description="Rename an authenticator app.")
    async def rename_totp_device(
        self, info: Info, input: Annotated[RenameTotpDeviceInput, INPUT]
    ) -> RenameTotpDeviceResult:
        return await rename_totp_device(info.context.call, input.id, input.name)

    @mutation(
        needs_recent_factor=True,
        description="Remove an authenticator app, unless it is the last second factor. Ends the other sessions that it "
        "opened or verified last.",
    )
    async def remove_totp_device(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="`TotpDevice.id`.")]
    ) -> RemoveFactorResult:
        return await remove_totp_device(info.context.call, id)

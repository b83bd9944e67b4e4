"""The mutations of a signed-in user: read the input, call the use case, present the outcome."""

from typing import Annotated

import strawberry

from graphql_mfa.api import inputs, results
from graphql_mfa.api.answer import answer
from graphql_mfa.api.present import Result
from graphql_mfa.context import Info
from graphql_mfa.flows.add_totp_device import add_totp_device
from graphql_mfa.flows.change_password import change_password
from graphql_mfa.flows.confirm_totp_device import confirm_totp_device
from graphql_mfa.flows.delete_account import delete_account
from graphql_mfa.flows.reauthenticate import reauthenticate
from graphql_mfa.flows.regenerate_recovery_codes import regenerate_recovery_codes
from graphql_mfa.flows.remove_totp_device import remove_totp_device
from graphql_mfa.flows.rename_totp_device import rename_totp_device
from graphql_mfa.flows.revoke_session import revoke_session

_input = strawberry.argument(description="What the operation takes.")
_id = strawberry.argument(description="Of what is to be removed.")
_SENSITIVE = "Demands a second factor that was verified within the last five minutes: see `reauthenticate`."


@strawberry.type
class AccountMutation:
    @strawberry.mutation(
        graphql_type=results.ReauthenticateResult,
        description="Verify a second factor again within the current session, which then counts as fresh. The refresh "
        "token stays as it is.",
    )
    async def reauthenticate(self, info: Info, input: Annotated[inputs.ReauthenticateInput, _input]) -> Result:
        context = info.context
        otp = input.otp.value if input.otp else None
        recovery_code = input.recovery_code.value if input.recovery_code else None
        return answer(
            info, await reauthenticate(context.services, context.access_token, otp, recovery_code, context.client)
        )

    @strawberry.mutation(
        graphql_type=results.RegenerateRecoveryCodesResult,
        description=f"A new set of recovery codes; the old one is dead at once. {_SENSITIVE}",
    )
    async def regenerate_recovery_codes(self, info: Info) -> Result:
        context = info.context
        return answer(info, await regenerate_recovery_codes(context.services, context.access_token, context.client))

    @strawberry.mutation(
        graphql_type=results.AddTotpDeviceResult,
        description=f"Add another authenticator app. It counts once its first code was confirmed. {_SENSITIVE}",
    )
    async def add_totp_device(self, info: Info, input: Annotated[inputs.AddTotpDeviceInput, _input]) -> Result:
        context = info.context
        return answer(info, await add_totp_device(context.services, context.access_token, input.name))

    @strawberry.mutation(
        graphql_type=results.ConfirmTotpDeviceResult,
        description="Confirm an authenticator app with its first code, in the session that added it.",
    )
    async def confirm_totp_device(self, info: Info, input: Annotated[inputs.ConfirmTotpDeviceInput, _input]) -> Result:
        context = info.context
        return answer(
            info,
            await confirm_totp_device(context.services, context.access_token, input.id, input.otp, context.client),
        )

    @strawberry.mutation(
        graphql_type=results.RenameTotpDeviceResult, description="Give an authenticator app another name."
    )
    async def rename_totp_device(self, info: Info, input: Annotated[inputs.RenameTotpDeviceInput, _input]) -> Result:
        context = info.context
        return answer(info, await rename_totp_device(context.services, context.access_token, input.id, input.name))

    @strawberry.mutation(
        graphql_type=results.RemoveFactorResult,
        description=f"Remove an authenticator app, unless it is the last one. {_SENSITIVE}",
    )
    async def remove_totp_device(self, info: Info, id: Annotated[strawberry.ID, _id]) -> Result:
        context = info.context
        return answer(info, await remove_totp_device(context.services, context.access_token, id, context.client))

    @strawberry.mutation(
        graphql_type=results.ChangePasswordResult,
        description="A new password in place of the current one. The user's other sessions and every open challenge "
        f"are ended; one-time codes that were switched off are on again. {_SENSITIVE}",
    )
    async def change_password(self, info: Info, input: Annotated[inputs.ChangePasswordInput, _input]) -> Result:
        context = info.context
        return answer(
            info,
            await change_password(
                context.services, context.access_token, input.current_password, input.new_password, context.client
            ),
        )

    @strawberry.mutation(
        graphql_type=results.RevokeSessionResult,
        description="End one of the user's sessions, which may be this one. Its tokens are dead here at once; a "
        "service that checks access tokens by itself may take one until it expires.",
    )
    async def revoke_session(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="`Session.id`.")]
    ) -> Result:
        context = info.context
        return answer(info, await revoke_session(context.services, context.access_token, id, context.client))

    @strawberry.mutation(
        graphql_type=results.DeleteAccountResult,
        description="Delete the account, with everything personal, for good. Nobody may take its name for a while. "
        f"{_SENSITIVE}",
    )
    async def delete_account(self, info: Info) -> Result:
        context = info.context
        return answer(info, await delete_account(context.services, context.access_token, context.client))

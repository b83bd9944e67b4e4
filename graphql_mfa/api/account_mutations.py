"""The mutations of a signed-in user: read the input, call the use case, present the outcome."""

from typing import Annotated

import strawberry

from graphql_mfa.api import inputs, results
from graphql_mfa.api.answer import answer
from graphql_mfa.api.context import Info
from graphql_mfa.api.present import Result
from graphql_mfa.flows.reauthenticate import reauthenticate
from graphql_mfa.flows.regenerate_recovery_codes import regenerate_recovery_codes

_input = strawberry.argument(description="What the operation takes.")
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

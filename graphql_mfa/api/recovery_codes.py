"""Regenerating recovery codes."""

import strawberry

from graphql_mfa.api.mutation import mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.recovery_codes import regenerate_recovery_codes
from graphql_mfa.types.recovery_codes import RegenerateRecoveryCodesResult


@strawberry.type
class RecoveryCodeMutation:
    @mutation(needs_recent_factor=True, description="Replace the recovery codes. The old ones stop working.")
    async def regenerate_recovery_codes(self, info: Info) -> RegenerateRecoveryCodesResult:
        return await regenerate_recovery_codes(info.context.call)

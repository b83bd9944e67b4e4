"""Sessions: refreshing and ending them."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.sessions import logout, refresh_session, revoke_session
from graphql_mfa.types.sessions import LogoutResult, RevokeSessionResult
from graphql_mfa.types.sign_in import RefreshSessionResult


@strawberry.input(description="The token to trade in.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="`TokenPair.refreshToken`, the newest one.")


@strawberry.type
class SessionMutation:
    @mutation(
        takes_secret=True,
        description="Trade a refresh token for a new pair. An old token used again ends the session, unless it repeats "
        "a refresh whose answer was lost. No `input` in cookie mode, where the token travels in an HttpOnly cookie.",
    )
    async def refresh_session(
        self,
        info: Info,
        input: Annotated[RefreshSessionInput | None, INPUT] = strawberry.UNSET,
        retry_key: Annotated[
            str | None,
            strawberry.argument(
                description="16 to 128 characters that the client draws at random for each refresh, and keeps until it "
                "has the answer. The same token with the same key gets the same refresh token again, for an hour and "
                "from any address, while that is unused."
            ),
        ] = strawberry.UNSET,
    ) -> RefreshSessionResult:
        context = info.context
        token = context.choose_refresh_token(input.refresh_token if input else None)
        return await refresh_session(
            context.services, token or "", context.client, retry_key if isinstance(retry_key, str) else None
        )

    @mutation(
        takes_secret=False,  # tokens of 256 random bits can't be guessed
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
    ) -> LogoutResult:
        context = info.context
        token = context.choose_refresh_token(refresh_token)
        return await logout(context.services, context.access_token, token, context.client, everywhere=everywhere)

    @mutation(
        description="End one of the user's sessions, which may be this one. Its tokens are dead here at once; a "
        "service that checks access tokens by itself may take one until it expires.",
    )
    async def revoke_session(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="`Session.id`.")]
    ) -> RevokeSessionResult:
        context = info.context
        return await revoke_session(context.services, context.access_token, id, context.client)

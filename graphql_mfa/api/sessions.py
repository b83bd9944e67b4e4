"""Refreshing and ending sessions."""

from typing import Annotated

import strawberry

from graphql_mfa.api.mutation import INPUT, given, mutation
from graphql_mfa.context import Info
from graphql_mfa.flows.sessions import logout, refresh_session, revoke_session
from graphql_mfa.types.sessions import LogoutResult, RevokeSessionResult
from graphql_mfa.types.sign_in import RefreshSessionResult


@strawberry.input(description="The token to exchange.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="The latest `TokenPair.refreshToken`.")


@strawberry.type
class SessionMutation:
    @mutation(
        takes_secret=True,
        description="Exchange a refresh token for a new pair. Reusing an old token ends the session, unless it repeats "
        "a refresh whose answer was lost. No `input` in cookie mode, where the token is in an HttpOnly cookie.",
    )
    async def refresh_session(
        self,
        info: Info,
        input: Annotated[RefreshSessionInput | None, INPUT] = strawberry.UNSET,
        retry_key: Annotated[
            str | None,
            strawberry.argument(
                description="16 to 128 random characters, new for each refresh, which the client stores until it has "
                "the answer. For an hour, from any address, the same token and key return the same new refresh token "
                "again, while the new one is unused."
            ),
        ] = strawberry.UNSET,
    ) -> RefreshSessionResult:
        context = info.context
        token = context.choose_refresh_token(input.refresh_token if input else None)
        return await refresh_session(context.call, token, given(retry_key))

    @mutation(
        takes_secret=False,  # tokens of 256 random bits can't be guessed
        description="End this session, or all of the user's sessions. The refresh token is enough if the access token "
        "has expired.",
    )
    async def logout(
        self,
        info: Info,
        everywhere: Annotated[
            bool,
            strawberry.argument(
                description="End all of the user's sessions. A used refresh token ends only its own session."
            ),
        ] = False,
        refresh_token: Annotated[
            str | None, strawberry.argument(description="Identifies the session without a valid access token.")
        ] = strawberry.UNSET,
    ) -> LogoutResult:
        context = info.context
        token = context.choose_refresh_token(refresh_token)
        return await logout(context.call, token, everywhere=everywhere)

    @mutation(
        description="End one of the user's sessions, possibly this one. Its tokens stop working here at once; services "
        "that verify access tokens themselves may accept one until it expires.",
    )
    async def revoke_session(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="`Session.id`.")]
    ) -> RevokeSessionResult:
        return await revoke_session(info.context.call, id)

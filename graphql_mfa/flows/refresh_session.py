"""Trade a refresh token for a new pair of tokens."""

from datetime import datetime, timedelta

from graphql_mfa.core.refresh_tokens import next_refresh_token
from graphql_mfa.core.secret_tokens import Purpose, digest, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.client import Client
from graphql_mfa.flows.outcomes import RateLimited, SessionExpired, SignedIn
from graphql_mfa.flows.services import Services
from graphql_mfa.flows.sessions import idle_end, token_pair
from graphql_mfa.store import Connection, sessions, throttles, users

RefreshSessionOutcome = SignedIn | SessionExpired | RateLimited


async def refresh_session(services: Services, refresh_token: str, client: Client) -> RefreshSessionOutcome:
    """Rotate. A token used before ends its session, unless the new pair is young and unused: then it comes back again.

    Refused tokens are counted per address; a good one is accepted whatever the count. No token at all is no guess.
    """
    if not refresh_token:
        return SessionExpired()
    now = services.clock()
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)

    def refresh(connection: Connection) -> RefreshSessionOutcome:
        signed_in = token and (
            _rotate(connection, services, refresh_token, token, client, now)
            or _repeat(connection, services, refresh_token, token, client, now)
        )
        if signed_in:
            return signed_in
        wait = throttles.reserve_all(connection, limits.refresh(services.settings, client.address), now)
        return RateLimited.until(wait) if wait else SessionExpired()

    return await services.database.write(refresh)


def _rotate(
    connection: Connection, services: Services, refresh_token: str, token: bytes, client: Client, now: datetime
) -> SignedIn | None:
    key = services.key_ring.current
    successor = next_refresh_token(key, refresh_token)
    session = sessions.rotate(
        connection,
        token,
        digest(Purpose.REFRESH_TOKEN, successor),
        key_id=key.id,
        now=now,
        idle_end=idle_end(services, now),
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    if session is None:
        return None
    return SignedIn(token_pair(services, session, successor, key), users.find(connection, session.user_id))


def _repeat(
    connection: Connection, services: Services, refresh_token: str, token: bytes, client: Client, now: datetime
) -> SignedIn | None:
    """The pair that the token was traded for, for a client that lost the answer or asked from two tabs at once.

    Anything else that comes with a used token is taken for a thief, or for the owner after the thief.
    """
    found = sessions.find_by_used_token(connection, token, now)
    if found is None:
        return None
    session, used_generation = found
    grace = timedelta(seconds=services.settings.refresh_grace_seconds)
    key = services.key_ring.trusted(session.key_id)
    if used_generation != session.generation - 1 or now - session.refreshed_at > grace:
        sessions.end(connection, session.id)
        services.events.record(connection, session.user_id, now, client, SecurityEventKind.REFRESH_TOKEN_REUSED)
        return None
    if key is None:
        return None
    tokens = token_pair(services, session, next_refresh_token(key, refresh_token), key)
    return SignedIn(tokens, users.find(connection, session.user_id))

"""Trade a refresh token for a new pair of tokens."""

from dataclasses import replace
from datetime import datetime, timedelta

from graphql_mfa.client import Client
from graphql_mfa.core.addresses import address_group, parse_address
from graphql_mfa.core.key_ring import Key
from graphql_mfa.core.refresh_tokens import family_digest, next_refresh_token
from graphql_mfa.core.secret_tokens import Purpose, digest, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Usage, reserve
from graphql_mfa.flows import limits
from graphql_mfa.flows.sessions import idle_end, token_pair
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions, throttles, users
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.accounts import User
from graphql_mfa.types.sessions import SessionExpired
from graphql_mfa.types.sign_in import RefreshSessionResult, SignedIn
from graphql_mfa.types.throttling import RateLimited


async def refresh_session(services: Services, refresh_token: str, client: Client) -> RefreshSessionResult:
    """Rotate the session's tokens. An earlier token ends the session.

    While the current pair is new, the token that it was traded for repeats it instead, to the client that got it; sent
    by another client it gets nothing, and the session's user an event.

    Refused tokens are counted per address; a current one is accepted whatever that count. No token is no guess.
    """
    if not refresh_token:
        return SessionExpired()
    now = services.clock()
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)

    def refresh(connection: Connection) -> RefreshSessionResult:
        outcome = token and _exchange(connection, services, refresh_token, token, client, now)
        if outcome:
            return outcome
        wait = throttles.reserve_all(connection, limits.refresh(services.settings, client.address), now)
        return RateLimited.until(wait) if wait else SessionExpired()

    return await services.database.write(refresh)


def _exchange(
    connection: Connection, services: Services, refresh_token: str, token: bytes, client: Client, now: datetime
) -> SignedIn | RateLimited | None:
    session = sessions.lock_by_refresh_token(connection, token, family_digest(refresh_token), now)
    if session is None:
        return None
    if session.refresh_digest == token:
        return _rotate(connection, services, refresh_token, session, client, now)
    key = services.key_ring.get(session.key_id)
    is_young = now - session.refreshed_at <= timedelta(seconds=services.settings.refresh_grace_seconds)
    if is_young and key is None:
        # Another replica has a key that this one lacks: the current token may be the one that this was traded for.
        return None
    if is_young and key and (successor := _current_after(key, refresh_token, session)):
        if _got_the_pair(session, client):
            return None if key.decrypt_only else _signed_in(connection, services, session, successor, key, now)
    else:
        sessions.end(connection, session.id)
    services.events.record(connection, session.user_id, now, client, SecurityEventKind.REFRESH_TOKEN_REUSED)
    return None


def _rotate(
    connection: Connection,
    services: Services,
    refresh_token: str,
    session: StoredSession,
    client: Client,
    now: datetime,
) -> SignedIn | RateLimited:
    usage = reserve(
        limits.session_refreshes(services.settings), Usage(session.refreshes, session.refresh_window_ends_at), now
    )
    if isinstance(usage, timedelta):
        return RateLimited.until(usage)
    key = services.key_ring.current
    successor = next_refresh_token(key, refresh_token)
    rotated = replace(
        session,
        generation=session.generation + 1,
        refreshed_at=now,
        expires_at=min(idle_end(services, now), session.ends_at),
        key_id=key.id,
        refresh_digest=digest(Purpose.REFRESH_TOKEN, successor),
        family_digest=family_digest(refresh_token),
        refreshes=usage.attempts,
        refresh_window_ends_at=usage.window_ends_at,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    sessions.rotate(connection, session, rotated)
    return _signed_in(connection, services, rotated, successor, key, now)


def _current_after(key: Key, refresh_token: str, session: StoredSession) -> str | None:
    """The session's current token, if it is the one that this token was traded for."""
    successor = next_refresh_token(key, refresh_token)
    return successor if digest(Purpose.REFRESH_TOKEN, successor) == session.refresh_digest else None


def _got_the_pair(session: StoredSession, client: Client) -> bool:
    """Whether it is the client that rotated last, as far as the server can tell: address and User-Agent."""
    address = address_group(parse_address(session.ip_address or ""))
    return (address, session.user_agent) == (client.address, client.user_agent)


def _signed_in(
    connection: Connection,
    services: Services,
    session: StoredSession,
    refresh_token: str,
    key: Key,
    now: datetime,
) -> SignedIn:
    tokens = token_pair(services, session, refresh_token, key, now)
    return SignedIn(tokens=tokens, user=User.of(users.find(connection, session.user_id), session.id))

"""Trade a refresh token for a new pair of tokens."""

from dataclasses import replace
from datetime import datetime, timedelta

from graphql_mfa.client import Client
from graphql_mfa.core.addresses import address_group, parse_address
from graphql_mfa.core.key_ring import Key
from graphql_mfa.core.refresh_tokens import family_digest, next_refresh_token, retry_digest, retry_key_problem
from graphql_mfa.core.secret_tokens import Purpose, digest, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Usage, reserve
from graphql_mfa.flows import limits
from graphql_mfa.flows.claims import asking_for_claims
from graphql_mfa.flows.sessions import idle_end, token_pair
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions, throttles, users
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.sessions import SessionExpired
from graphql_mfa.types.sign_in import RefreshSessionResult, SignedIn
from graphql_mfa.types.throttling import RateLimited


@asking_for_claims
async def refresh_session(
    services: Services, refresh_token: str, client: Client, retry_key: str | None = None
) -> RefreshSessionResult:
    """Rotate the session's tokens. An earlier token ends the session.

    A client that lost the answer sends the same token again. While the current refresh token is unused, it gets that
    one: for an hour by the same `retry_key`, and without one for some seconds by its address and User-Agent. Within
    those seconds another client gets nothing, and the session's user an event.

    Refused tokens are counted per address; a current one is accepted whatever that count. No token is no guess.
    """
    if retry_key is not None and (problem := retry_key_problem(retry_key)):
        return InvalidInput.of([problem])
    if not refresh_token:
        return SessionExpired()
    now = services.clock()
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)
    retry = retry_digest(refresh_token, retry_key) if retry_key else None

    def refresh(connection: Connection) -> RefreshSessionResult:
        outcome = token and _exchange(connection, services, refresh_token, token, retry, client, now)
        if outcome:
            return outcome
        wait = throttles.reserve_all(connection, limits.refresh(services.settings, client.address), now)
        return RateLimited.until(wait) if wait else SessionExpired()

    return await services.database.write(refresh)


def _exchange(
    connection: Connection,
    services: Services,
    refresh_token: str,
    token: bytes,
    retry: bytes | None,
    client: Client,
    now: datetime,
) -> SignedIn | RateLimited | None:
    session = sessions.lock_by_refresh_token(connection, token, family_digest(refresh_token), now)
    if session is None:
        return None
    if session.refresh_digest == token:
        return _rotate(connection, services, refresh_token, session, retry, client, now)
    key = services.key_ring.get(session.key_id)
    age = now - session.refreshed_at
    is_young = age <= timedelta(seconds=services.settings.refresh_grace_seconds)
    is_retry = (
        retry is not None
        and retry == session.retry_digest
        and age <= timedelta(seconds=services.settings.refresh_retry_seconds)
    )
    may_repeat = is_young or is_retry
    if may_repeat and key is None:
        # Another replica has a key that this one lacks: the current token may be the one that this was traded for.
        return None
    if may_repeat and key and (successor := _current_after(key, refresh_token, session)):
        if is_retry or _got_the_pair(session, client):
            if key.decrypt_only:
                return None
            if is_young:
                return _signed_in(connection, services, session, successor, session.refreshed_at, key)
            # The first access token may have expired, and the idle time must not end a session that is used again.
            return _use(connection, services, session, session, successor, client, now)
    else:
        sessions.end(connection, session.id)
    services.events.record(connection, session.user_id, now, client, SecurityEventKind.REFRESH_TOKEN_REUSED)
    return None


def _rotate(
    connection: Connection,
    services: Services,
    refresh_token: str,
    session: StoredSession,
    retry: bytes | None,
    client: Client,
    now: datetime,
) -> SignedIn | RateLimited:
    key = services.key_ring.current
    successor = next_refresh_token(key, refresh_token)
    rotated = replace(
        session,
        generation=session.generation + 1,
        refreshed_at=now,
        key_id=key.id,
        refresh_digest=digest(Purpose.REFRESH_TOKEN, successor),
        family_digest=family_digest(refresh_token),
        retry_digest=retry,
    )
    return _use(connection, services, session, rotated, successor, client, now)


def _use(
    connection: Connection,
    services: Services,
    session: StoredSession,
    changed: StoredSession,
    refresh_token: str,
    client: Client,
    now: datetime,
) -> SignedIn | RateLimited:
    """Count a refresh of the session, prolong it, and issue its refresh token with a new access token."""
    usage = reserve(
        limits.session_refreshes(services.settings), Usage(session.refreshes, session.refresh_window_ends_at), now
    )
    if isinstance(usage, timedelta):
        return RateLimited.until(usage)
    used = replace(
        changed,
        expires_at=min(idle_end(services, now), session.ends_at),
        refreshes=usage.attempts,
        refresh_window_ends_at=usage.window_ends_at,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    sessions.rotate(connection, session, used)
    return _signed_in(connection, services, used, refresh_token, now, services.key_ring.current)


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
    issued_at: datetime,
    key: Key,
) -> SignedIn:
    account = users.find(connection, session.user_id)
    tokens = token_pair(services, account, session, refresh_token, issued_at, key)
    return SignedIn(tokens=tokens, user=User.of(account, session.id))

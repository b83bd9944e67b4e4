"""Opening a session and making its tokens, as several use cases do."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core.access_tokens import Grant, amr
from graphql_mfa.core.accounts import SESSIONS_PER_ACCOUNT, Account, FactorKind
from graphql_mfa.core.key_ring import Key
from graphql_mfa.core.refresh_tokens import family_digest, first_refresh_token
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.flows.claims import claims_for
from graphql_mfa.services import ClaimsRequest, Services
from graphql_mfa.store import Connection, sessions, users
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.store.users import LockedChallenge
from graphql_mfa.types.sessions import TokenPair, seconds_until

# Sign-ins at the same moment may not count each other: each needs a code of its own, of which fewer than that exist.
_UNCOUNTED = 50


def open_session(
    connection: Connection,
    services: Services,
    challenge: LockedChallenge,
    factor: FactorKind,
    client: Client,
    now: datetime,
    device_id: UUID | None = None,
) -> tuple[StoredSession, TokenPair]:
    """Open a session for an account that has just answered a challenge; the one used least recently may end for it.

    device_id: the authenticator app that answered it, if one did.
    """
    user = challenge.user
    refresh_token = first_refresh_token()
    ends_at = now + timedelta(seconds=services.settings.session_lifetime_seconds)
    session = StoredSession(
        id=uuid4(),
        user_id=user.id,
        authenticated_at=now,
        factors=(factor,),
        ends_at=ends_at,
        expires_at=min(idle_end(services, now), ends_at),
        generation=0,
        refreshed_at=now,
        key_id=services.key_ring.current.id,
        refresh_digest=digest(Purpose.REFRESH_TOKEN, refresh_token),
        family_digest=family_digest(refresh_token),
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        opened_by=device_id,
        verified_by=device_id,
    )
    if user.sessions > SESSIONS_PER_ACCOUNT - _UNCOUNTED:
        sessions.end_beyond(connection, user.id, now, SESSIONS_PER_ACCOUNT - 1)
    sessions.add(connection, session)
    if client.address != challenge.latest_address:
        users.remember_address(connection, user.id, client.address, now)
    key = services.key_ring.current
    return session, token_pair(services, user.account, session, refresh_token, now, key, opening=True)


def token_pair(
    services: Services,
    account: Account,
    session: StoredSession,
    refresh_token: str,
    issued_at: datetime,
    key: Key,
    *,
    opening: bool = False,
) -> TokenPair:
    """The session's refresh token with an access token; the same time and session state give the same grant."""
    access_token, expires_at = access_token_of(services, account, session, issued_at, key, opening=opening)
    return TokenPair(
        access_token=access_token,
        access_token_expires_at=expires_at,
        access_token_expires_in=seconds_until(expires_at, services.clock()),
        refresh_token=refresh_token,
        refresh_token_expires_at=session.expires_at,
    )


def access_token_of(
    services: Services,
    account: Account,
    session: StoredSession,
    issued_at: datetime,
    key: Key,
    *,
    opening: bool = False,
) -> tuple[str, datetime]:
    """An access token of the session, and when it expires. Called within a use case that is `asking_for_claims`."""
    lifetime = timedelta(seconds=services.settings.access_token_seconds)
    # JWTs count whole seconds.
    expires_at = min(issued_at + lifetime, session.ends_at).replace(microsecond=0)
    grant = Grant(
        user_id=session.user_id,
        session_id=session.id,
        generation=session.generation,
        authenticated_at=session.authenticated_at,
        factors=session.factors,
        issued_at=issued_at,
        expires_at=expires_at,
    )
    request = ClaimsRequest(
        user_id=account.id,
        username=account.username,
        session_id=None if opening else session.id,
        authenticated_at=session.authenticated_at,
        amr=amr(session.factors),
    )
    return services.access_tokens.sign(grant, key, claims_for(services, request)), expires_at


def idle_end(services: Services, now: datetime) -> datetime:
    """When a session that is refreshed now ends unless it is refreshed again."""
    return now + timedelta(seconds=services.settings.session_idle_seconds)

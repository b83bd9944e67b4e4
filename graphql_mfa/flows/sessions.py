"""Sessions: opening, refreshing and ending them, and their tokens with the host's claims."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from inspect import isawaitable
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from graphql_mfa.core.access_tokens import Grant, amr
from graphql_mfa.core.accounts import PASSWORD_METHOD, SESSIONS_PER_ACCOUNT, Account, NotAuthenticatedReason, Proof
from graphql_mfa.core.addresses import address_group, parse_address
from graphql_mfa.core.inputs import parse_id_or_nil
from graphql_mfa.core.keys import Key
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Usage, reserve
from graphql_mfa.core.tokens import (
    Purpose,
    digest,
    family_digest,
    first_refresh_token,
    next_refresh_token,
    retry_digest,
    retry_key_problem,
    token_digest,
)
from graphql_mfa.flows import limits
from graphql_mfa.flows.signed_in import Caller, authenticate, run_rate_limited
from graphql_mfa.services import Authenticated, Call, ClaimsRequest, Client, Services, Transaction
from graphql_mfa.store import accounts, sessions, sign_in
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.database import RolledBackError
from graphql_mfa.store.sessions import StoredSession, TokenOwner
from graphql_mfa.store.sign_in import LockedChallenge
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import InvalidInput, NotFound, RateLimited, shown_id
from graphql_mfa.types.sessions import (
    LogoutResult,
    LogoutSuccess,
    NotAuthenticated,
    RevokeSessionResult,
    SessionExpired,
    SessionRevoked,
    TokenPair,
    seconds_until,
)
from graphql_mfa.types.sign_in import RefreshSessionResult, SignedIn

P = ParamSpec("P")
T = TypeVar("T")


class ClaimsNeededError(RolledBackError):
    """A transaction is about to issue an access token, for which the host has not been asked for claims yet."""

    def __init__(self, request: ClaimsRequest) -> None:
        super().__init__()
        self.request = request


def claims_for(services: Services, request: ClaimsRequest) -> Mapping[str, object]:
    """The host's claims for a token. Raises ClaimsNeededError in a use case that has to ask first."""
    if services.claims is None:
        return {}
    if request not in services.given_claims:
        raise ClaimsNeededError(request)
    return services.given_claims[request]


def asking_for_claims(
    use_case: Callable[Concatenate[Call, P], Awaitable[T]],
) -> Callable[Concatenate[Call, P], Coroutine[Any, Any, T]]:
    """Ask the host for claims between two runs of a use case that issues an access token.

    The first run verifies everything, and its transaction is rolled back where it would sign. The second one commits.
    So the host is asked outside of a transaction and for verified users only, and if it fails, or the client leaves,
    nothing is consumed: the client repeats the same request. Wrong answers are counted in the first run.

    The clock stands still meanwhile: a code that is right in the first run is right in the second.
    """

    @wraps(use_case)
    async def run(call: Call, /, *args: P.args, **kwargs: P.kwargs) -> T:
        claims = call.services.claims
        if claims is None:
            return await use_case(call, *args, **kwargs)
        now = call.services.clock()
        call = replace(call, services=replace(call.services, clock=lambda: now, given_claims={}))
        while True:  # again when the session changed meanwhile, so that no token has claims for another request
            try:
                return await use_case(call, *args, **kwargs)
            except ClaimsNeededError as needed:
                request = needed.request
            # Here, so that errors of the host's function have no context.
            answer = claims(request)
            call.services.given_claims[request] = await answer if isawaitable(answer) else answer

    return run


REFRESH_RETRY_TIME = timedelta(hours=1)
"""How long a refresh repeated with its `retryKey` returns the same refresh token, until that token is used."""
# Sign-ins at the same moment may not count each other: each needs a code of its own, of which fewer than that exist.
_UNCOUNTED = 50


@asking_for_claims
async def refresh_session(call: Call, refresh_token: str | None, retry_key: str | None) -> RefreshSessionResult:
    """Rotate the session's tokens. An earlier token ends the session.

    A client that lost the answer sends the same token again. While the current refresh token is unused, it gets that
    one: for an hour by the same `retry_key`, and without one for some seconds by its address and User-Agent. Within
    those seconds another client gets nothing, and the session's user an event.

    Refused tokens are counted per address; a current one is accepted whatever that count. A missing token is not a
    guess, so it is not counted.
    """
    if retry_key is not None and (problem := retry_key_problem(retry_key)):
        return InvalidInput.of({"retryKey": problem})
    if not refresh_token:
        return SessionExpired()
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)
    retry = retry_digest(refresh_token, retry_key) if retry_key else None

    def refresh(transaction: Transaction) -> RefreshSessionResult:
        if outcome := token and _exchange(transaction, refresh_token, token, retry):
            return outcome
        wait = transaction.limit(limits.refresh(call.services.settings, call.client.address))
        return RateLimited.until(wait) if wait else SessionExpired()

    return await call.write(refresh)


def _exchange(
    transaction: Transaction, refresh_token: str, token: bytes, retry: bytes | None
) -> SignedIn | RateLimited | None:
    connection, now, services = transaction.connection, transaction.now, transaction.services
    session = sessions.lock_by_refresh_token(connection, token, family_digest(refresh_token), now)
    if session is None:
        return None
    if session.refresh_digest == token:
        return _rotate(transaction, refresh_token, session, retry)
    key = services.key_ring.get(session.key_id)
    age = now - session.refreshed_at
    is_young = age <= timedelta(seconds=services.settings.refresh_grace_seconds)
    is_retry = retry is not None and retry == session.retry_digest and age <= REFRESH_RETRY_TIME
    may_repeat = is_young or is_retry
    if may_repeat and key is None:
        # Another replica has a key that this one lacks: the current token may be the one that this was traded for.
        return None
    if may_repeat and key and (successor := _current_after(key, refresh_token, session)):
        if is_retry or _got_the_pair(session, transaction.client):
            if key.decrypt_only:
                return None
            if is_young:
                return _signed_in(transaction, session, successor, session.refreshed_at, key)
            # The first access token may have expired, and the idle time must not end a session that is used again.
            return _use(transaction, session, session, successor)
    else:
        sessions.end(connection, session.id)
    transaction.record(session.user_id, SecurityEventKind.REFRESH_TOKEN_REUSED)
    return None


def _rotate(
    transaction: Transaction, refresh_token: str, session: StoredSession, retry: bytes | None
) -> SignedIn | RateLimited:
    key = transaction.services.key_ring.current
    successor = next_refresh_token(key, refresh_token)
    rotated = replace(
        session,
        generation=session.generation + 1,
        refreshed_at=transaction.now,
        key_id=key.id,
        refresh_digest=digest(Purpose.REFRESH_TOKEN, successor),
        family_digest=family_digest(refresh_token),
        retry_digest=retry,
    )
    return _use(transaction, session, rotated, successor)


def _use(
    transaction: Transaction, session: StoredSession, changed: StoredSession, refresh_token: str
) -> SignedIn | RateLimited:
    """Count a refresh of the session, prolong it, and issue its refresh token with a new access token."""
    services, client, now = transaction.services, transaction.client, transaction.now
    usage = reserve(limits.SESSION_REFRESHES, Usage(session.refreshes, session.refresh_window_ends_at), now)
    if isinstance(usage, timedelta):
        return RateLimited.until(usage)
    used = replace(
        changed,
        expires_at=min(_idle_end(services, now), session.ends_at),
        refreshes=usage.attempts,
        refresh_window_ends_at=usage.window_ends_at,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    sessions.rotate(transaction.connection, session, used)
    return _signed_in(transaction, used, refresh_token, now, services.key_ring.current)


def _current_after(key: Key, refresh_token: str, session: StoredSession) -> str | None:
    """The session's current token, if it is the one that this token was traded for."""
    successor = next_refresh_token(key, refresh_token)
    return successor if digest(Purpose.REFRESH_TOKEN, successor) == session.refresh_digest else None


def _got_the_pair(session: StoredSession, client: Client) -> bool:
    """Whether it is the client that rotated last, as far as the server can tell: address and User-Agent."""
    address = address_group(parse_address(session.ip_address or ""))
    return (address, session.user_agent) == (client.address, client.user_agent)


def _signed_in(
    transaction: Transaction, session: StoredSession, refresh_token: str, issued_at: datetime, key: Key
) -> SignedIn:
    account = accounts.find(transaction.connection, session.user_id)
    tokens = _token_pair(transaction.services, account, session, refresh_token, issued_at, key)
    return SignedIn(tokens=tokens, user=User.of(account, session.id))


async def logout(call: Call, refresh_token: str | None, *, everywhere: bool) -> LogoutResult:
    """End the session of a valid access token; else that of the refresh token.

    A refresh token that was traded in ends its own session alone: using it would end that anyway, and a thief may have
    sent it.
    """
    caller = await authenticate(call.services, call.access_token)
    if isinstance(caller, Authenticated):
        session_id, user_id = caller.session_id, caller.account.id
    else:
        owner = await _owner(call.services, refresh_token) if refresh_token is not None else caller
        if isinstance(owner, NotAuthenticated):
            return owner
        session_id, user_id = owner.session_id, owner.user_id
        everywhere = everywhere and owner.is_current

    def end(transaction: Transaction) -> int:
        connection, now = transaction.connection, transaction.now
        ended = sessions.end_all(connection, user_id, now) if everywhere else sessions.end(connection, session_id)
        if ended:
            transaction.record(user_id, SecurityEventKind.SESSION_ENDED)
        return ended

    ended = await call.write(end)
    # None is left if another request ended them in between.
    return LogoutSuccess(sessions_ended=ended) if ended else NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)


async def _owner(services: Services, refresh_token: str) -> TokenOwner | NotAuthenticated:
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)
    if token is None:
        return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_INVALID)
    now = services.clock()
    family = family_digest(refresh_token)
    owner = await services.database.read(
        lambda connection: sessions.find_by_refresh_token(connection, token, family, now)
    )
    return owner or NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)


async def revoke_session(call: Call, session_id: str) -> RevokeSessionResult:
    """End a session at once. An id that is malformed, unknown, expired or another user's runs the same statements."""
    revoked_id = parse_id_or_nil(session_id)

    def revoke(transaction: Transaction, caller: Caller) -> SessionRevoked | NotFound:
        if not sessions.end_own(transaction.connection, revoked_id, caller.user.id, transaction.now):
            return NotFound()
        transaction.record(caller.user.id, SecurityEventKind.SESSION_ENDED)
        return SessionRevoked(id=shown_id(revoked_id), user=caller.shown)

    return await run_rate_limited(call, revoke)


def open_session(
    transaction: Transaction, user: StoredUser, proof: Proof, challenge: LockedChallenge | None
) -> tuple[StoredSession, TokenPair]:
    """Open a session for an account that verified a factor; the one used least recently may end for it.

    challenge: the one that the factor answered, which the password opened; None for a passkey alone.
    """
    connection, services = transaction.connection, transaction.services
    client, now = transaction.client, transaction.now
    key = services.key_ring.current
    refresh_token = first_refresh_token()
    ends_at = now + timedelta(seconds=services.settings.session_lifetime_seconds)
    session = StoredSession(
        id=uuid4(),
        user_id=user.id,
        created_at=now,
        authenticated_at=now,
        factors=(proof.factor,),
        methods=((PASSWORD_METHOD,) if challenge else ()) + proof.methods,
        ends_at=ends_at,
        expires_at=min(_idle_end(services, now), ends_at),
        generation=0,
        refreshed_at=now,
        key_id=key.id,
        refresh_digest=digest(Purpose.REFRESH_TOKEN, refresh_token),
        family_digest=family_digest(refresh_token),
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        opened_by=proof.factor_id,
        verified_by=proof.factor_id,
        user_verified=proof.user_verified,
    )
    if user.sessions > SESSIONS_PER_ACCOUNT - _UNCOUNTED:
        sessions.end_beyond(connection, user.id, now, SESSIONS_PER_ACCOUNT - 1)
    sessions.add(connection, session)
    if challenge is None or client.address != challenge.latest_address:
        sign_in.remember_address(connection, user.id, client.address, now)
    return session, _token_pair(services, user.account, session, refresh_token, now, key, opening=True)


def _token_pair(
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
    """An access token of the session, and when it expires. Only for use cases that are `asking_for_claims`."""
    lifetime = timedelta(seconds=services.settings.access_token_seconds)
    expires_at = min(issued_at + lifetime, session.ends_at).replace(microsecond=0)
    grant = Grant(
        user_id=session.user_id,
        session_id=session.id,
        generation=session.generation,
        authenticated_at=session.authenticated_at,
        methods=session.methods,
        issued_at=issued_at,
        expires_at=expires_at,
    )
    request = ClaimsRequest(
        user_id=account.id,
        username=account.username,
        session_id=None if opening else session.id,
        authenticated_at=session.authenticated_at,
        amr=amr(session.methods),
    )
    return services.access_tokens.sign(grant, key, claims_for(services, request)), expires_at


def _idle_end(services: Services, now: datetime) -> datetime:
    """When a session that is refreshed now ends unless it is refreshed again."""
    return now + timedelta(seconds=services.settings.session_idle_seconds)

"""Finding out who calls, and running a transaction for a signed-in user."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from graphql_mfa.context import Authenticated
from graphql_mfa.core.access_tokens import TokenExpired, TokenInvalid, TokenSubject
from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason
from graphql_mfa.flows import limits
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, accounts, sessions, throttles
from graphql_mfa.store.accounts import LockedUser
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.accounts import User
from graphql_mfa.types.sessions import NotAuthenticated, ReauthenticationRequired
from graphql_mfa.types.throttling import RateLimited


def check_token(services: Services, access_token: str | None, now: datetime) -> TokenSubject | NotAuthenticated:
    """Check the token alone: its session may be over."""
    if access_token is None:
        return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_MISSING)
    match services.access_tokens.check(access_token, now):
        case TokenInvalid():
            return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_INVALID)
        case TokenExpired():
            return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_EXPIRED)
        case subject:
            return subject


async def authenticate(services: Services, access_token: str | None) -> Authenticated | NotAuthenticated:
    """Check the token, then that its session still lives: a session that was ended is over at once."""
    now = services.clock()
    subject = check_token(services, access_token, now)
    if isinstance(subject, NotAuthenticated):
        return subject
    found = await services.database.read(lambda connection: sessions.find_account(connection, subject.session_id, now))
    if found is None:
        return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
    account, authenticated_at, may_be_fresh = found
    if account.id != subject.user_id:
        return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
    return Authenticated(subject.session_id, authenticated_at, account, may_be_fresh)


T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """A signed-in user: the transaction holds the account's row and the session's."""

    user: LockedUser
    session: StoredSession
    now: datetime

    @property
    def shown(self) -> User:
        """The user, as the API shows it."""
        return User.of(self.user.account, self.session.id)


Act = Callable[[Connection, Caller], T]


async def act(services: Services, access_token: str | None, transaction: Act[T]) -> T | NotAuthenticated:
    """Run a transaction for whom the token speaks, if the session still lives."""
    now = services.clock()
    subject = check_token(services, access_token, now)
    if isinstance(subject, NotAuthenticated):
        return subject

    def transact(connection: Connection) -> T | NotAuthenticated:
        user = accounts.lock(connection, subject.user_id, now)
        session = sessions.hold(connection, subject.session_id, subject.user_id, now)
        if user is None or session is None:
            return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
        return transaction(connection, Caller(user, session, now))

    return await services.database.write(transact)


async def act_counted(
    services: Services, access_token: str | None, transaction: Act[T]
) -> T | NotAuthenticated | RateLimited:
    """As `act`, so many times for each session. What is refused for another limit's sake is not counted either."""
    return await act(services, access_token, lambda *given: _counted(services, transaction, *given))


async def act_freshly(
    services: Services, access_token: str | None, transaction: Act[T]
) -> T | NotAuthenticated | ReauthenticationRequired | RateLimited:
    """As `act_counted`, for what is sensitive: only soon after the session verified a second factor."""

    def transact(connection: Connection, caller: Caller) -> T | ReauthenticationRequired | RateLimited:
        oldest = caller.now - timedelta(seconds=services.settings.reauthentication_seconds)
        if caller.session.stale_since or caller.session.authenticated_at < oldest:
            return ReauthenticationRequired(factors=usable_factors(caller.user, caller.now))
        return _counted(services, transaction, connection, caller)

    return await act(services, access_token, transact)


def usable_factors(user: LockedUser, now: datetime, *, has_device: bool = True) -> list[FactorKind]:
    """What the account can answer with now."""
    factors = [FactorKind.TOTP] if has_device and not user.otp_wait(now) and not user.otp_disabled else []
    return factors + [FactorKind.RECOVERY_CODE] * bool(user.account.recovery_codes_left)


def _counted(services: Services, transaction: Act[T], connection: Connection, caller: Caller) -> T | RateLimited:
    counted = limits.account_changes(services.settings, caller.session.id)
    if wait := throttles.reserve_all(connection, counted, caller.now):
        return RateLimited.until(wait)
    result = transaction(connection, caller)
    if isinstance(result, RateLimited):
        throttles.give_back(connection, counted)
    return result

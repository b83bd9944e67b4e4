"""Running a transaction for a signed-in user.

The same transaction checks that the session is live, and that its second factor is recent enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from graphql_mfa.core.access_tokens import TokenSubject
from graphql_mfa.core.accounts import NotAuthenticatedReason
from graphql_mfa.flows import limits
from graphql_mfa.flows.second_factors import usable_factors
from graphql_mfa.services import Authenticated, Call, Services, Transaction
from graphql_mfa.store import accounts, sessions
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import RateLimited
from graphql_mfa.types.sessions import NotAuthenticated, ReauthenticationRequired

T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """A signed-in user. The rows of the account and of the session are locked."""

    user: StoredUser
    session: StoredSession

    @property
    def shown(self) -> User:
        """The user, as the API shows it."""
        return User.of(self.user.account, self.session.id)


UseCase = Callable[[Transaction, Caller], T]


async def authenticate(services: Services, access_token: str | None) -> Authenticated | NotAuthenticated:
    """Check the token, then that its session is live."""
    now = services.clock()
    subject = _check_token(services, access_token, now)
    if isinstance(subject, NotAuthenticated):
        return subject
    found = await services.database.read(
        lambda connection: sessions.find_account(connection, subject.session_id, subject.user_id, now)
    )
    if found is None:
        return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
    account, authenticated_at, may_be_fresh = found
    return Authenticated(subject.session_id, authenticated_at, account, may_be_fresh)


async def run_as_user(call: Call, use_case: UseCase[T]) -> T | NotAuthenticated:
    """Run a transaction for the user of the access token, if the session is live."""
    subject = _check_token(call.services, call.access_token, call.services.clock())
    if isinstance(subject, NotAuthenticated):
        return subject

    def run(transaction: Transaction) -> T | NotAuthenticated:
        connection, now = transaction.connection, transaction.now
        user = accounts.lock(connection, subject.user_id, now)
        session = sessions.lock(connection, subject.session_id, subject.user_id, now)
        if user is None or session is None:
            return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
        return use_case(transaction, Caller(user, session))

    return await call.write(run)


async def run_rate_limited(call: Call, use_case: UseCase[T]) -> T | NotAuthenticated | RateLimited:
    """As `run_as_user`, a limited number of times per session. A call that another limit refuses does not count."""
    return await run_as_user(call, lambda *given: _run_counted(use_case, *given))


async def run_with_recent_mfa(
    call: Call, use_case: UseCase[T]
) -> T | NotAuthenticated | ReauthenticationRequired | RateLimited:
    """As `run_rate_limited`, if the session verified a second factor recently. For sensitive operations."""

    def run(transaction: Transaction, caller: Caller) -> T | ReauthenticationRequired | RateLimited:
        oldest = transaction.now - timedelta(seconds=call.services.settings.reauthentication_seconds)
        if caller.session.stale_since or caller.session.authenticated_at < oldest:
            factors = usable_factors(transaction, caller.user, caller.session)
            return ReauthenticationRequired(factors=factors)
        return _run_counted(use_case, transaction, caller)

    return await run_as_user(call, run)


def _run_counted(use_case: UseCase[T], transaction: Transaction, caller: Caller) -> T | RateLimited:
    counted = limits.account_changes(transaction.services.settings, caller.session.id)
    if wait := transaction.limit(counted):
        return RateLimited.until(wait)
    result = use_case(transaction, caller)
    if isinstance(result, RateLimited):
        transaction.release(counted)
    return result


def _check_token(services: Services, access_token: str | None, now: datetime) -> TokenSubject | NotAuthenticated:
    """Check the token alone: its session may have ended."""
    if access_token is None:
        return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_MISSING)
    checked = services.access_tokens.check(access_token, now)
    return checked if isinstance(checked, TokenSubject) else NotAuthenticated.of(checked)

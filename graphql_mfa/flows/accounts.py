"""Registering an account and deleting it."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core import passwords, usernames
from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.usernames import Username, username_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.sign_in import issue_challenge
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.flows.totp import enroll_device
from graphql_mfa.hashing import Slot
from graphql_mfa.services import Registration, Services
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, accounts, security_events, sign_in, throttles
from graphql_mfa.types.accounts import (
    AccountDeleted,
    DeleteAccountResult,
    RegisterUserResult,
    RegisterUserSuccess,
    RegistrationClosed,
    RegistrationRefused,
    User,
    UsernameTaken,
)
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.throttling import RateLimited


async def register_user(services: Services, username: str, password: str, client: Client) -> RegisterUserResult:
    """Judge name and password, then create the account with an unconfirmed device and a challenge.

    An input whose faults are seen at a glance costs nothing and counts for nothing. Whatever costs more, judging a
    password or telling whether a name is taken, is counted against the address first.
    """
    settings = services.settings
    if not settings.registration_open:
        return RegistrationClosed()
    name = usernames.parse_new_username(
        username, shortest=settings.username_min_length, longest=settings.username_max_length
    )
    password_problem = passwords.format_problem(
        password, shortest=settings.password_min_length, longest=settings.password_max_length
    )
    if password_problem:
        return _invalid(name, password_problem)
    async with services.hashing.slot(client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _register(services, slot, name, password, client)


async def _register(
    services: Services, slot: Slot, name: Username | Problem, password: str, client: Client
) -> RegisterUserResult:
    settings = services.settings
    now = services.clock()

    def reserve(connection: Connection) -> RateLimited | UsernameTaken | None:
        wait = throttles.reserve_all(connection, limits.registration(settings, client.address), now)
        if wait:
            return RateLimited.until(wait)
        # Told before the password is hashed; the insert below decides.
        taken = isinstance(name, Username) and accounts.is_taken(connection, name, now)
        return UsernameTaken() if taken else None

    refusal = await services.database.write(reserve)
    if isinstance(refusal, RateLimited):
        return refusal
    password_problem = await services.hashing.run(
        passwords.guessability_problem,
        password,
        name_key=name.key if isinstance(name, Username) else "",
        fewest_guesses=settings.password_min_guesses_log10,
    )
    if isinstance(name, Problem) or password_problem:
        return _invalid(name, password_problem)
    if refusal:
        return refusal
    # Last, since it may use something up, such as an invitation.
    async with services.hashing.pause(slot):
        objection = await services.before_registration(Registration(name.shown, client))
    if objection is not None:
        return RegistrationRefused(message=objection)
    password_hash = await services.hashing.run(services.hashing.hasher.hash, password)
    return await services.database.write(
        lambda connection: _create(connection, services, name, password_hash, client, now)
    )


def _invalid(name: Username | Problem, password_problem: Problem | None) -> InvalidInput:
    """All problems at once."""
    return InvalidInput.of([problem for problem in (name, password_problem) if isinstance(problem, Problem)])


def _create(
    connection: Connection, services: Services, name: Username, password_hash: str, client: Client, now: datetime
) -> RegisterUserSuccess | UsernameTaken:
    account = Account(uuid4(), name.shown, now, mfa_enabled=False, recovery_codes_left=0)
    created = accounts.add(
        connection,
        id=account.id,
        name=name,
        password_hash=password_hash,
        now=now,
        enrollment_expires_at=now + timedelta(seconds=services.settings.enrollment_lifetime_seconds),
    )
    if not created:
        return UsernameTaken()
    enrollment = enroll_device(connection, services, account.id, name.shown, now)
    challenge = issue_challenge(connection, services, account.id, now, factors=[FactorKind.TOTP])
    services.events.record(connection, account.id, now, client, SecurityEventKind.REGISTERED)
    return RegisterUserSuccess(user=User.of(account, None), enrollment=enrollment, challenge=challenge)


async def delete_account(services: Services, access_token: str | None, client: Client) -> DeleteAccountResult:
    """Delete it with every session, challenge and factor. Of several callers at once, one deletes it."""

    def delete(connection: Connection, caller: Caller) -> AccountDeleted:
        user, now = caller.user, caller.now
        services.events.record(connection, user.id, now, client, SecurityEventKind.ACCOUNT_DELETED)
        key = username_key(user.account.username)
        delete_with_all_that_is_personal(connection, services.settings, user.id, key, now)
        return AccountDeleted(username=user.account.username)

    return await act_freshly(services, access_token, delete)


def delete_with_all_that_is_personal(
    connection: Connection,
    settings: Settings,
    user_id: UUID,
    name_key: str,
    now: datetime,
    *,
    reserve_name: bool = True,
) -> None:
    """Delete an account whose row the transaction holds, and reserve its name for a while.

    reserve_name: False for a registration that was never confirmed, so that others know no account by its name.

    Its factors, sessions and challenges go with its row: there are only so many. Its security events, this deletion
    included, are removed or made anonymous; where there are very many, the purge goes on with that.
    """
    counted = limits.of_account(user_id, name_key, sign_in.known_addresses(connection, user_id))
    accounts.remove(connection, user_id)
    throttles.forget(connection, counted)
    if reserve_name:
        accounts.reserve_name(connection, name_key, now + timedelta(days=settings.deleted_name_days))
    # After the account: whoever records an event holds it or one of its sessions, so there is no later one.
    replacement = None if settings.deleted_account_events == "remove" else uuid4()
    security_events.erase_events(connection, user_id, replacement, now)

"""Registering an account and deleting it."""

from datetime import timedelta
from uuid import uuid4

from graphql_mfa.core.accounts import Account, FactorKind, Username, parse_new_username, username_key
from graphql_mfa.core.inputs import Problem
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.passwords import format_problem, guessability_problem
from graphql_mfa.flows.sign_in import issue_challenge
from graphql_mfa.flows.signed_in import Caller, run_with_recent_mfa
from graphql_mfa.flows.totp import add_device
from graphql_mfa.hashing import Slot
from graphql_mfa.services import Call, Registration, Transaction
from graphql_mfa.store import accounts, security_events, sign_in, throttles
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
from graphql_mfa.types.errors import InvalidInput, RateLimited

ENROLLMENT_LIFETIME = timedelta(days=1)
"""Age at which an account is deleted if it never confirmed a code."""


async def register_user(call: Call, username: str, password: str) -> RegisterUserResult:
    """Check username and password, then create the account with an unconfirmed device and a challenge.

    An input whose format is wrong is not counted, since it costs nothing. Guessing the strength of a password and
    looking a username up are counted against the address first.
    """
    settings = call.services.settings
    if not settings.registration_open:
        return RegistrationClosed()
    name = parse_new_username(username, shortest=settings.username_min_length, longest=settings.username_max_length)
    if password_problem := format_problem(call.services, password):
        return _invalid(name, password_problem)
    async with call.services.hashing.slot(call.client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _register(call, slot, name, password)


async def _register(call: Call, slot: Slot, name: Username | Problem, password: str) -> RegisterUserResult:
    services, client, settings = call.services, call.client, call.services.settings

    def reserve(transaction: Transaction) -> RateLimited | UsernameTaken | None:
        if wait := transaction.limit(limits.registration(settings, client.address)):
            return RateLimited.until(wait)
        # Before the password is hashed; the insertion below decides.
        taken = isinstance(name, Username) and accounts.is_taken(transaction.connection, name, transaction.now)
        return UsernameTaken() if taken else None

    refusal = await call.write(reserve)
    if isinstance(refusal, RateLimited):
        return refusal
    name_key = name.key if isinstance(name, Username) else ""
    password_problem = await guessability_problem(services, password, name_key=name_key)
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
    return await call.write(lambda transaction: _create(transaction, name, password_hash))


def _invalid(name: Username | Problem, password_problem: Problem | None) -> InvalidInput:
    """All problems at once."""
    name_problem = name if isinstance(name, Problem) else None
    return InvalidInput.of({"username": name_problem, "password": password_problem})


def _create(transaction: Transaction, name: Username, password_hash: str) -> RegisterUserSuccess | UsernameTaken:
    now = transaction.now
    account = Account(uuid4(), name.shown, now, mfa_enabled=False, recovery_codes_left=0)
    created = accounts.add(
        transaction.connection,
        id=account.id,
        name=name,
        password_hash=password_hash,
        now=now,
        enrollment_expires_at=now + ENROLLMENT_LIFETIME,
    )
    if not created:
        return UsernameTaken()
    _, enrollment = add_device(transaction, account)
    challenge = issue_challenge(transaction, account.id, factors=[FactorKind.TOTP])
    transaction.record(account.id, SecurityEventKind.REGISTERED)
    return RegisterUserSuccess(user=User.of(account, None), enrollment=enrollment, challenge=challenge)


async def delete_account(call: Call) -> DeleteAccountResult:
    """Delete the account with every session, challenge and factor. Of parallel requests, one deletes it."""

    def delete(transaction: Transaction, caller: Caller) -> AccountDeleted:
        account = caller.user.account
        transaction.record(account.id, SecurityEventKind.ACCOUNT_DELETED)
        delete_personal_data(transaction, account)
        return AccountDeleted(username=account.username)

    return await run_with_recent_mfa(call, delete)


def delete_personal_data(transaction: Transaction, account: Account, *, reserve_name: bool = True) -> None:
    """Delete an account whose row the transaction locked, with everything personal, and reserve its name for a while.

    reserve_name: False for a registration that was never confirmed, so that its name shows no account to others.

    Factors, sessions and challenges are deleted with the row: their number is bounded. Security events, this deletion's
    included, are removed or made anonymous; the purge erases those beyond the first 500.
    """
    connection, now, settings = transaction.connection, transaction.now, transaction.services.settings
    name_key = username_key(account.username)
    counted = limits.of_account(account.id, name_key, sign_in.known_addresses(connection, account.id))
    accounts.remove(connection, account.id)
    throttles.forget(connection, [*counted, limits.refused_passwords(name_key)])
    if reserve_name:
        accounts.reserve_name(connection, name_key, now + timedelta(days=settings.deleted_name_days))
    # After the account, whose row or one of its sessions is locked wherever an event is recorded: none comes later.
    replacement = None if settings.deleted_account_events == "remove" else uuid4()
    security_events.erase_events(connection, [account.id], replacement, now)

"""Changing a password, and resetting a forgotten one."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from graphql_mfa.core import passwords
from graphql_mfa.core.accounts import FactorKind, Proof, lookup_key
from graphql_mfa.core.inputs import Problem
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.flows import limits
from graphql_mfa.flows.recovery_codes import consume_recovery_code, lock_recovery_code
from graphql_mfa.flows.signed_in import Caller, run_as_user, run_with_recent_mfa
from graphql_mfa.flows.totp import answer_with_otp, decoy_device, match_devices, otp_refusal
from graphql_mfa.services import Call, Services, Transaction
from graphql_mfa.store import accounts, passkeys, security_events, sessions, sign_in, throttles, totp
from graphql_mfa.store.passkeys import StoredPasskey
from graphql_mfa.store.totp import StoredDevice
from graphql_mfa.types.errors import InvalidInput, RateLimited
from graphql_mfa.types.passwords import ChangePasswordResult, PasswordChanged, ResetPasswordResult, ResetRejected
from graphql_mfa.types.sessions import ReauthenticationRequired
from graphql_mfa.types.sign_in import InvalidCredentials
from graphql_mfa.types.totp import InvalidOtp


def format_problem(services: Services, password: str) -> Problem | None:
    """The problem with the length or the characters of a new password, if any."""
    shortest, longest = services.settings.password_min_length, services.settings.password_max_length
    return passwords.format_problem(password, shortest=shortest, longest=longest)


async def guessability_problem(services: Services, password: str, *, name_key: str) -> Problem | None:
    """The reason why a new password is easily guessed, if any. name_key: the key of the account's name."""
    fewest = services.settings.password_min_guesses_log10
    return await services.hashing.run(
        passwords.guessability_problem, password, name_key=name_key, fewest_guesses=fewest
    )


async def change_password(call: Call, current_password: str | None, new_password: str) -> ChangePasswordResult:
    """Compare the current password, check the new one, and store it if the compared one is still there.

    current_password: None in a session that verified its user by a trusted passkey.

    A missing slot before the hashing threads is reported last: after a session that ended or is stale, and after a new
    password whose format is wrong.
    """
    services = call.services
    problem = format_problem(services, new_password)
    async with services.hashing.slot(call.client.address) as slot:

        def admit(transaction: Transaction, caller: Caller) -> Caller | ChangePasswordResult:
            if problem:
                return InvalidInput.of({"newPassword": problem})
            if isinstance(slot, timedelta):
                return RateLimited.until(slot)
            if wait := transaction.limit(_limits_of(services, caller)):
                return RateLimited.until(wait)
            if current_password is None and not _is_by_trusted_passkey(transaction, caller):
                return _require_trusted_passkey(transaction, caller)
            return caller

        caller = await run_with_recent_mfa(call, admit)
        if not isinstance(caller, Caller):
            return caller
        return await _change(call, caller, current_password, new_password)


async def _change(call: Call, before: Caller, current_password: str | None, new_password: str) -> ChangePasswordResult:
    services, hashing = call.services, call.services.hashing
    stored_hash = before.user.password_hash
    problem = None
    if current_password is not None:
        verdict = await hashing.run(hashing.hasher.verify, current_password, stored_hash)
        if not verdict.right:
            return await run_as_user(call, _refuse_current)
        problem = passwords.unchanged_problem(new_password, current_password)
    problem = problem or await guessability_problem(services, new_password, name_key=before.user.key)
    if problem:
        # The current password was right: choosing a weak new one three times is not guessing three times.
        await call.write(lambda transaction: transaction.release(_limits_of(services, before)))
        return InvalidInput.of({"newPassword": problem})
    new_hash = await hashing.run(hashing.hasher.hash, new_password)

    def replace(transaction: Transaction, caller: Caller) -> PasswordChanged | InvalidCredentials:
        # Meanwhile the passkey may have been removed, or another factor verified in its place.
        if caller.user.password_hash != stored_hash or (
            current_password is None and not _is_by_trusted_passkey(transaction, caller)
        ):
            return _refuse_current(transaction, caller)
        transaction.release(_limits_of(services, caller))
        return _replace_current(transaction, caller, new_hash)

    return await run_as_user(call, replace)


def _refuse_current(transaction: Transaction, caller: Caller) -> InvalidCredentials:
    transaction.record(caller.user.id, SecurityEventKind.SIGN_IN_FAILED)
    return InvalidCredentials(message="Your current password is missing or wrong.")


def _is_by_trusted_passkey(transaction: Transaction, caller: Caller) -> bool:
    """Whether a passkey verified the user last, and is old enough.

    Otherwise the thief of a fresh session could add a passkey and take the account over.
    """
    session = caller.session
    if not session.user_verified or session.verified_by is None:
        return False
    passkey = passkeys.lock(transaction.connection, session.verified_by, caller.user.id)
    return passkey is not None and _is_trusted(transaction, passkey)


def _require_trusted_passkey(transaction: Transaction, caller: Caller) -> ReauthenticationRequired | InvalidCredentials:
    found = passkeys.of_user(transaction.connection, caller.user.id)
    if not any(passkey.user_verified and _is_trusted(transaction, passkey) for passkey in found):
        return _refuse_current(transaction, caller)
    transaction.release(_limits_of(transaction.services, caller))
    return ReauthenticationRequired(factors=[FactorKind.PASSKEY])


def _is_trusted(transaction: Transaction, passkey: StoredPasskey) -> bool:
    settings = transaction.services.settings
    age = transaction.now - passkey.created_at
    return settings.passkey_rp_id is not None and age >= timedelta(seconds=settings.passkey_trusted_after_seconds)


def _replace_current(transaction: Transaction, caller: Caller, new_hash: str) -> PasswordChanged:
    """Sessions and challenges that the old password opened end, except for the session that changes it.

    One-time codes are off because somebody who knows the old password guessed at them, so they are on again. Fewer
    wrong codes still count.
    """
    connection, user = transaction.connection, caller.user
    accounts.replace_password_hash(connection, user.id, new_hash)
    events = [SecurityEventKind.PASSWORD_CHANGED]
    if user.otp_disabled:
        totp.forget_otp_failures(connection, user.id)
        events += [SecurityEventKind.FACTOR_ENABLED]
    sign_in.end_challenges(connection, user.id)
    ended = sessions.end_others(connection, caller.session.id, user.id, transaction.now)
    transaction.record(user.id, *events)
    return PasswordChanged(sessions_ended=ended)


def _limits_of(services: Services, caller: Caller) -> limits.Limits:
    return limits.current_password(services.settings, caller.session.id)


@dataclass(frozen=True)
class _Request:
    """The proofs of a reset. counted_name: for limits; as typed if no account can have that name.

    decoy: a device of no account, compared with where no real one may be.
    """

    name_key: str
    counted_name: str
    otp: str
    recovery_code: str
    decoy: StoredDevice


async def reset_password(
    call: Call, username: str, otp: str, recovery_code: str, new_password: str
) -> ResetPasswordResult:
    """Check the new password by itself, then count the attempt, hash the password and check both proofs.

    Nothing before the check of the proofs depends on whether the account exists, and after it one answer and the same
    work hide that. The recovery code is checked first: without one, nothing counts against the one-time codes.
    """
    services = call.services
    if problem := format_problem(services, new_password):
        return InvalidInput.of({"newPassword": problem})
    async with services.hashing.slot(call.client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        name_key = lookup_key(username)
        request = _Request(name_key, name_key or username, otp, recovery_code, decoy_device(services.key_ring))
        return await _reset(call, request, new_password)


async def _reset(call: Call, request: _Request, new_password: str) -> ResetPasswordResult:
    services, hashing = call.services, call.services.hashing
    counted = await call.write(lambda transaction: _reserve(transaction, request))
    if isinstance(counted, RateLimited):
        return counted
    if problem := await guessability_problem(services, new_password, name_key=request.name_key):
        # No code was compared, so the owner has no refused reset to see. The other limits count the work.
        key = limits.refused_passwords(request.counted_name)
        await call.write(lambda transaction: transaction.release({key: counted[key]}))
        return InvalidInput.of({"newPassword": problem})
    new_hash = await hashing.run(hashing.hasher.hash, new_password)
    return await call.write(lambda transaction: _replace_forgotten(transaction, request, counted, new_hash))


def _reserve(transaction: Transaction, request: _Request) -> limits.Limits | RateLimited:
    connection, client, now = transaction.connection, transaction.client, transaction.now
    candidate = sign_in.find_for_login(connection, request.name_key, client.address, now)
    choices = limits.password_reset(transaction.services.settings, request.counted_name, client, candidate)
    reserved = throttles.reserve_first(connection, choices, now)
    return RateLimited.by(reserved) if isinstance(reserved, Refusal) else reserved.limits


def _prove(transaction: Transaction, request: _Request) -> UUID | None:
    """The account that both codes prove, with both used up; None, with neither used up, otherwise.

    An account without an authenticator app counts as none. Every refusal runs as many statements as a wrong one-time
    code does; those that have nothing to do run for a decoy id.
    """
    connection, now = transaction.connection, transaction.now
    decoy = uuid4()
    user = accounts.lock_by_name(connection, request.name_key, now)
    owner = user if user and user.account.mfa_enabled and user.devices else None
    owner_id = owner.id if owner else decoy
    has_code = lock_recovery_code(connection, owner_id, request.recovery_code)
    devices = totp.of_user(connection, owner_id, confirmed=True)
    if owner and has_code and not otp_refusal(owner, now):
        answer = answer_with_otp(transaction, owner, devices, request.otp)
        if isinstance(answer, Proof):
            consume_recovery_code(connection, owner_id, request.recovery_code)
            return owner_id
        if isinstance(answer, InvalidOtp):
            return None
    else:
        match_devices(transaction, [request.decoy], request.otp)
        security_events.newest(connection, decoy, 1)  # in place of the event
    # In place of the statements that count a wrong code.
    since = now - transaction.services.settings.otp_failures_before_disabling.window
    totp.count_otp_failures(connection, decoy, since)
    totp.set_otp_state(connection, decoy)
    # Writes a row that every name has. PostgreSQL's commit waits for the disk only after a change or a row lock, so
    # without it a name of no account would be refused sooner.
    throttles.subtract(connection, limits.refused_passwords(request.counted_name), 0)
    return None


def _replace_forgotten(
    transaction: Transaction, request: _Request, counted: limits.Limits, new_hash: str
) -> PasswordChanged | ResetRejected:
    """Every session and challenge ends, and wrong codes count no more: their guesser knew the old password."""
    user_id = _prove(transaction, request)
    if user_id is None:
        return ResetRejected()
    connection = transaction.connection
    transaction.release(counted)
    accounts.replace_password_hash(connection, user_id, new_hash)
    totp.forget_otp_failures(connection, user_id)
    sign_in.end_challenges(connection, user_id)
    ended = sessions.end_all(connection, user_id, transaction.now)
    transaction.record(user_id, SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.PASSWORD_RESET)
    return PasswordChanged(sessions_ended=ended)

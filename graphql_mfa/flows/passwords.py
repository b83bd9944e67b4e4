"""Changing a password, and resetting a forgotten one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core import passwords
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.usernames import lookup_key, username_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.recovery_codes import consume_recovery_code, hold_recovery_code
from graphql_mfa.flows.signed_in import Caller, act, act_freshly
from graphql_mfa.flows.totp import Verified, answer_with_otp, decoy_device, judge, otp_refusal
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, accounts, sessions, sign_in, throttles, totp
from graphql_mfa.store.totp import StoredDevice
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.passwords import ChangePasswordResult, PasswordChanged, ResetPasswordResult, ResetRejected
from graphql_mfa.types.sign_in import InvalidCredentials
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import OtpAlreadyUsed

_FIELD = "newPassword"


async def change_password(
    services: Services, access_token: str | None, current_password: str, new_password: str, client: Client
) -> ChangePasswordResult:
    """Compare the current password, judge the new one, and store it if the compared one is still there.

    A missing slot before the hashing threads is reported last: after a session that ended or is stale, and after a new
    password with a wrong form.
    """
    settings = services.settings
    problem = passwords.format_problem(
        new_password, shortest=settings.password_min_length, longest=settings.password_max_length, field=_FIELD
    )
    async with services.hashing.slot(client.address) as slot:

        def admit(connection: Connection, caller: Caller) -> Caller | InvalidInput | RateLimited:
            if problem:
                return InvalidInput.of([problem])
            if isinstance(slot, timedelta):
                return RateLimited.until(slot)
            wait = throttles.reserve_all(connection, _counted(services, caller), caller.now)
            return caller if wait is None else RateLimited.until(wait)

        caller = await act_freshly(services, access_token, admit)
        if not isinstance(caller, Caller):
            return caller
        return await _change(services, access_token, caller, current_password, new_password, client)


async def _change(
    services: Services,
    access_token: str | None,
    before: Caller,
    current_password: str,
    new_password: str,
    client: Client,
) -> ChangePasswordResult:
    hashing = services.hashing
    stored_hash = before.user.password_hash
    verdict = await hashing.run(hashing.hasher.verify, current_password, stored_hash)

    def refuse(connection: Connection, caller: Caller) -> InvalidCredentials:
        services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.SIGN_IN_FAILED)
        return InvalidCredentials(message="Your current password is wrong.")

    if not verdict.right:
        return await act(services, access_token, refuse)
    if problem := await _judge(services, before.user.account.username, current_password, new_password):
        # It was the right one: whoever chooses an easy password three times has not guessed three times.
        await services.database.write(lambda connection: throttles.give_back(connection, _counted(services, before)))
        return InvalidInput.of([problem])
    new_hash = await hashing.run(hashing.hasher.hash, new_password)

    def replace(connection: Connection, caller: Caller) -> PasswordChanged | InvalidCredentials:
        if caller.user.password_hash != stored_hash:
            return refuse(connection, caller)
        throttles.give_back(connection, _counted(services, caller))
        return _replace_current(connection, services, caller, new_hash, client)

    return await act(services, access_token, replace)


async def _judge(services: Services, username: str, current_password: str, new_password: str) -> Problem | None:
    return passwords.unchanged_problem(new_password, current_password, field=_FIELD) or await services.hashing.run(
        passwords.guessability_problem,
        new_password,
        name_key=username_key(username),
        fewest_guesses=services.settings.password_min_guesses_log10,
        field=_FIELD,
    )


def _replace_current(
    connection: Connection, services: Services, caller: Caller, new_hash: str, client: Client
) -> PasswordChanged:
    """Whoever opened a session or a challenge with the old password is out; the session that changes it goes on.

    Codes are switched off since somebody knows the old password. Guesses that did not get that far still count.
    """
    user = caller.user
    accounts.replace_password_hash(connection, user.id, new_hash)
    events = [SecurityEventKind.PASSWORD_CHANGED]
    if user.otp_disabled:
        totp.forget_otp_failures(connection, user.id)
        events += [SecurityEventKind.FACTOR_ENABLED]
    sign_in.end_challenges(connection, user.id)
    ended = sessions.end_others(connection, caller.session.id, user.id, caller.now)
    services.events.record(connection, user.id, caller.now, client, *events)
    return PasswordChanged(sessions_ended=ended)


def _counted(services: Services, caller: Caller) -> limits.Limits:
    return limits.current_password(services.settings, caller.session.id)


_FIELD = "newPassword"


@dataclass(frozen=True)
class _Request:
    """Who says so, from where and when. decoy: a device that is nobody's, to be judged where no real one may be."""

    username: str
    otp: str
    recovery_code: str
    client: Client
    now: datetime
    decoy: StoredDevice

    @property
    def name_key(self) -> str:
        return lookup_key(self.username)


async def reset_password(
    services: Services, username: str, otp: str, recovery_code: str, new_password: str, client: Client
) -> ResetPasswordResult:
    """Judge the new password by itself, then count the attempt, hash the password and look at both proofs.

    Until the proofs are looked at, nothing depends on whether there is such an account, and after that one answer and
    the same work tell no more. The recovery code comes first: whoever has none can't count against the one-time codes.
    """
    settings = services.settings
    problem = passwords.format_problem(
        new_password, shortest=settings.password_min_length, longest=settings.password_max_length, field=_FIELD
    )
    if problem:
        return InvalidInput.of([problem])
    async with services.hashing.slot(client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        decoy = decoy_device(services.key_ring)
        request = _Request(username, otp, recovery_code, client, services.clock(), decoy)
        return await _reset(services, request, new_password)


async def _reset(services: Services, request: _Request, new_password: str) -> ResetPasswordResult:
    hashing = services.hashing
    counted = await services.database.write(lambda connection: _reserve(connection, services, request))
    if isinstance(counted, RateLimited):
        return counted
    problem = await hashing.run(
        passwords.guessability_problem,
        new_password,
        name_key=request.name_key,
        fewest_guesses=services.settings.password_min_guesses_log10,
        field=_FIELD,
    )
    if problem:
        return InvalidInput.of([problem])
    new_hash = await hashing.run(hashing.hasher.hash, new_password)

    def reset(connection: Connection) -> PasswordChanged | ResetRejected:
        user_id = _prove(connection, services, request)
        if user_id is None:
            return ResetRejected()
        throttles.give_back(connection, counted)
        return _replace_forgotten(connection, services, request, user_id, new_hash)

    return await services.database.write(reset)


def _reserve(connection: Connection, services: Services, request: _Request) -> limits.Limits | RateLimited:
    candidate = sign_in.find_for_login(connection, request.name_key, request.client.address, request.now)
    choices = limits.password_reset(
        services.settings,
        # A name that no account can have is counted as it was typed.
        request.name_key or request.username,
        request.client,
        knows_address=candidate is not None and candidate.knows_address,
    )
    counted = throttles.reserve_first(connection, choices, request.now)
    return RateLimited.by(counted) if isinstance(counted, Refusal) else counted


def _prove(connection: Connection, services: Services, request: _Request) -> UUID | None:
    """Whose account it is, with both codes used up; or None, and neither is.

    An account that never confirmed a factor is like none. Whatever is refused costs as many statements as a wrong
    one-time code does, the others in vain: of nobody.
    """
    nobody = uuid4()
    user = accounts.lock_by_name(connection, request.name_key, request.now)
    owner = user if user and user.account.mfa_enabled else None
    owner_id = owner.id if owner else nobody
    has_code = hold_recovery_code(connection, owner_id, request.recovery_code)
    devices = totp.of_user(connection, owner_id, confirmed=True)
    if owner and has_code and not otp_refusal(owner, request.now):
        answer = answer_with_otp(
            connection, services, owner, devices, request.otp, request.client, request.now, attempts_left=0
        )
        if isinstance(answer, Verified):
            consume_recovery_code(connection, owner_id, request.recovery_code)
            return owner_id
        if isinstance(answer, OtpAlreadyUsed):
            _write_in_vain(connection, services, request, nobody)
        return None
    judge(connection, services, [request.decoy], request.otp, request.now)
    kind = SecurityEventKind.SIGN_IN_FAILED
    services.events.record(connection, owner_id, request.now, request.client, kind, decoy=nobody)
    _write_in_vain(connection, services, request, nobody)
    return None


def _write_in_vain(connection: Connection, services: Services, request: _Request, nobody: UUID) -> None:
    """What counting a wrong one-time code takes, of nobody; an event of nobody goes with it."""
    since = request.now - timedelta(days=services.settings.otp_failure_window_days)
    totp.count_otp_failures(connection, nobody, since)
    totp.set_otp_state(connection, nobody)
    services.events.forget(connection, nobody)


def _replace_forgotten(
    connection: Connection, services: Services, request: _Request, user_id: UUID, new_hash: str
) -> PasswordChanged:
    """Whoever got anywhere with the old password is out; and who guessed codes with it has to begin anew."""
    accounts.replace_password_hash(connection, user_id, new_hash)
    totp.forget_otp_failures(connection, user_id)
    sign_in.end_challenges(connection, user_id)
    ended = sessions.end_all(connection, user_id, request.now)
    events = (SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.PASSWORD_RESET)
    services.events.record(connection, user_id, request.now, request.client, *events)
    return PasswordChanged(sessions_ended=ended)

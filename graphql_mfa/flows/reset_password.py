"""Set a new password without the old one: a one-time code and a recovery code together say whose account it is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core import passwords
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.usernames import lookup_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.enrollment import decoy_device
from graphql_mfa.flows.recovery_codes import consume_recovery_code, hold_recovery_code
from graphql_mfa.flows.second_factor import Verified, answer_with_otp, judge, otp_refusal
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges, sessions, throttles, totp_devices, users
from graphql_mfa.store.totp_devices import StoredDevice
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.passwords import PasswordChanged, ResetPasswordResult, ResetRejected
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import OtpAlreadyUsed

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
        return _replace(connection, services, request, user_id, new_hash)

    return await services.database.write(reset)


def _reserve(connection: Connection, services: Services, request: _Request) -> limits.Limits | RateLimited:
    candidate = users.find_for_login(connection, request.name_key, request.client.address, request.now)
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
    user = users.lock_by_name(connection, request.name_key, request.now)
    owner = user if user and user.account.mfa_enabled else None
    owner_id = owner.id if owner else nobody
    has_code = hold_recovery_code(connection, owner_id, request.recovery_code)
    devices = totp_devices.of_user(connection, owner_id, confirmed=True)
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
    users.count_otp_failures(connection, nobody, since)
    users.set_otp_state(connection, nobody)
    services.events.forget(connection, nobody)


def _replace(
    connection: Connection, services: Services, request: _Request, user_id: UUID, new_hash: str
) -> PasswordChanged:
    """Whoever got anywhere with the old password is out; and who guessed codes with it has to begin anew."""
    users.replace_password_hash(connection, user_id, new_hash)
    users.forget_otp_failures(connection, user_id)
    challenges.end_all(connection, user_id)
    ended = sessions.end_all(connection, user_id, request.now)
    events = (SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.PASSWORD_RESET)
    services.events.record(connection, user_id, request.now, request.client, *events)
    return PasswordChanged(sessions_ended=ended)

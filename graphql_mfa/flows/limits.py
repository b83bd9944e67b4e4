"""Limits that are counted in the store, and the keys that they are counted under."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from graphql_mfa.core.addresses import networks
from graphql_mfa.core.throttling import Backoff, Limit, Rate
from graphql_mfa.services import Client
from graphql_mfa.settings import Settings
from graphql_mfa.store.sign_in import LoginCandidate

Limits = Mapping[bytes, Limit]

CHALLENGE_ATTEMPTS = 5
"""Wrong answers that end a challenge."""
OTP_FAILURES_BEFORE_BACKOFF = 5
"""How many wrong one-time codes in a row, across an account's challenges, begin the waits."""
OTP_BACKOFF = Backoff(timedelta(minutes=1), timedelta(hours=1))
"""The waits after wrong one-time codes in a row."""
SESSION_REFRESHES = Limit(*Rate.parse("120/10m"))
"""Refreshes of one session, counted in its row. Clients with several tabs stay far below one in five seconds."""

# Attempts that are counted per account and address.
_LOGIN = "login"
_PASSWORD_RESET = "password reset"
_RECOVERY_CODE = "recovery code"
_KNOWN_PASSKEY = "known passkey"
_PASSWORD_BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=15))
_NEW_ADDRESSES_BACKOFF = Backoff(timedelta(minutes=1), timedelta(minutes=1))
_RECOVERY_CODES = Rate.parse("10/5m")
_PASSKEY_SIGN_INS = Rate.parse("30/5m")
_ENROLLMENT_RESTARTS = Rate.parse("10/1h")
# How much higher the limits of an IPv6 /56 and /48 are than those of a /64: room for neighbours and for the networks
# of one site, and far below the 256 and 65,536 networks of an attacker who owns the whole.
_IPV6_FACTORS = (1, 4, 16)
# Failures of an account at one of its known addresses to which the limit of that address does not apply.
_FAILURES_AT_A_KNOWN_ADDRESS = 3
_KNOWN_ACCOUNTS_FACTOR = 10
_UNLIMITED = 1_000_000_000


def registration(settings: Settings, address: str) -> Limits:
    """Registrations per address."""
    return _per_address("registration", address, Limit(*settings.registration_attempts))


def login(settings: Settings, name: str, client: Client, candidate: LoginCandidate | None) -> Sequence[Limits]:
    """Wrong passwords per account and address, per address, and per account for all new addresses together.

    Logins per address are limited too, successful ones included. Alternatives as in `_guesses_by_name`.
    """
    logins = Limit(*settings.login_address_total, counts_successes=True)
    return _guesses_by_name(settings, _LOGIN, name, client, candidate, per_address={"logins of address": logins})


def recovery_code(user_id: UUID, address: str) -> Limits:
    """Wrong recovery codes per account and address, so that a thief of the password can't lock the owner out."""
    return {_own(_RECOVERY_CODE, str(user_id), address): Limit(*_RECOVERY_CODES)}


def passkey_answers(settings: Settings, address: str) -> dict[bytes, Limit]:
    """All answers of passkeys alone per address, since each stores a row, and a right one an event."""
    return _per_address("passkeys of address", address, Limit(*settings.login_address_total, counts_successes=True))


def passkey_sign_in(settings: Settings, client: Client, known_owner: UUID | None) -> Sequence[Limits]:
    """Refused passkeys per address, and all answers. Alternatives as in `_guesses_by_name`.

    known_owner: the owner of the passkey that the answer names, if the account signed in from the address before.
    Without one the first alternative refuses, so that the statements are the same.
    """
    answers, refused = passkey_answers(settings, client.address), Limit(*_PASSKEY_SIGN_INS)
    usual = answers | _per_address("passkey", client.address, refused)
    known = answers | _per_address(_KNOWN_PASSKEY, client.address, refused, factor=_KNOWN_ACCOUNTS_FACTOR)
    own = _own(_KNOWN_PASSKEY, str(known_owner), client.address)
    failures = 0 if known_owner is None or client.shares_address else _FAILURES_AT_A_KNOWN_ADDRESS
    return [known | {own: replace(refused, attempts=failures)}, usual]


def enrollment_restart(user_id: UUID) -> Limits:
    """New TOTP secrets per account."""
    return {_restarts(user_id): Limit(*_ENROLLMENT_RESTARTS)}


def account_changes(settings: Settings, session_id: UUID) -> Limits:
    """Changes to an account per session, so that a stolen session can't use up the owner's."""
    return {_key("account change", str(session_id)): Limit(*settings.account_changes)}


def refresh(settings: Settings, address: str) -> Limits:
    """Refused refresh tokens per address."""
    return _per_address("refresh", address, Limit(*settings.refresh_attempts))


def current_password(settings: Settings, session_id: UUID) -> Limits:
    """Wrong current passwords per session, so that a stolen session can't make the owner wait."""
    return {_key("current password", str(session_id)): _wrong_passwords(settings)}


def password_reset(settings: Settings, name: str, client: Client, candidate: LoginCandidate | None) -> Sequence[Limits]:
    """Refused resets, limited like wrong passwords but counted apart from them."""
    return _guesses_by_name(settings, _PASSWORD_RESET, name, client, candidate, per_address={})


def refused_passwords(name: str) -> bytes:
    """The key under which wrong passwords and refused resets are counted until the account's next sign-in."""
    return _key("refused passwords", name)


def of_account(user_id: UUID, name: str, addresses: list[str]) -> list[bytes]:
    """The keys that an account may be counted under at these addresses, and at new ones together."""
    by_name = [(what, name) for what in (_LOGIN, _PASSWORD_RESET)]
    by_id = [(what, str(user_id)) for what in (_RECOVERY_CODE, _KNOWN_PASSKEY)]
    return [
        _restarts(user_id),
        *(_strangers(what, name) for what, name in by_name),
        *(_own(what, whose, address) for what, whose in by_name + by_id for address in addresses),
    ]


def _guesses_by_name(
    settings: Settings,
    what: str,
    name: str,
    client: Client,
    candidate: LoginCandidate | None,
    per_address: Mapping[str, Limit],
) -> Sequence[Limits]:
    """The limits of an attempt to prove that an account is the caller's; the first alternative that allows it counts.

    An unknown name is counted like a known one. An account at an address from which it signed in before has one more
    alternative, so that others at that address, such as guests of the same network, don't use up its attempts. It
    covers the account's first failures only, and has higher limits for all known accounts of the address together.
    """
    address = client.address
    own = _own(what, name, address)
    per_address = {f"{what} address": Limit(*settings.login_address_attempts), **per_address}
    # Only counts: its limit is never reached. An account's row is kept for the owner's next sign-in; that of a name
    # without a confirmed account expires like the other rows, so invented names don't fill the table.
    lasts = candidate is not None and not candidate.expires
    kept = timedelta(days=settings.security_event_days) if lasts else settings.login_stranger_attempts.window
    refused = {refused_passwords(name): Limit(_UNLIMITED, kept)}
    usual = refused | {own: _wrong_passwords(settings)}
    for key, limit in per_address.items():
        usual |= _per_address(key, address, limit)
    if candidate is None or not candidate.knows_address:
        usual[_strangers(what, name)] = Limit(
            *settings.login_stranger_attempts, _NEW_ADDRESSES_BACKOFF, new_addresses=True
        )
        return [usual]
    if client.shares_address:
        return [usual]
    attempts, window = settings.login_attempts
    # Below the number that makes waits, which the usual limits count.
    known = refused | {own: Limit(min(_FAILURES_AT_A_KNOWN_ADDRESS + 1, attempts - 1), window)}
    for key, limit in per_address.items():
        known |= _per_address(f"known {key}", address, limit, factor=_KNOWN_ACCOUNTS_FACTOR)
    return [known, usual]


def _per_address(what: str, address: str, limit: Limit, factor: int = 1) -> dict[bytes, Limit]:
    """A limit, times the factor, for an address and, for IPv6, higher ones for the networks that contain it."""
    return {
        _key(what, network): replace(limit, attempts=limit.attempts * factor * wider)
        for network, wider in zip(reversed(networks(address)), _IPV6_FACTORS, strict=False)
    }


def _wrong_passwords(settings: Settings) -> Limit:
    return Limit(*settings.login_attempts, _PASSWORD_BACKOFF)


def _own(what: str, whose: str, address: str) -> bytes:
    """The key of an account's attempts at an address. whose: its name or id."""
    return _key(what, whose, address)


def _strangers(what: str, name: str) -> bytes:
    return _key(f"{what} strangers", name)


def _restarts(user_id: UUID) -> bytes:
    return _key("enrollment restart", str(user_id))


def _key(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()

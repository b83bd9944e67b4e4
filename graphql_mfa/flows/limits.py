"""The limits that are counted in the store, and the keys they are counted under."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.addresses import networks
from graphql_mfa.core.throttling import Backoff, Limit
from graphql_mfa.settings import Settings

Limits = Mapping[bytes, Limit]

# By how much the limits of an IPv6 /56 and /48 are wider than those of a /64: room for neighbours and for the networks
# of one site, and far from the 256 and 65,536 times of an attacker who has the whole of it.
_TIMES_WIDER = (1, 4, 16)
# Failures of an account at one of its known addresses, up to which the limit of that address does not apply to it.
_FAILURES_AT_A_KNOWN_ADDRESS = 3
_TIMES_WIDER_FOR_KNOWN = 10


def registration(settings: Settings, address: str) -> Limits:
    """Registrations per address."""
    window = timedelta(seconds=settings.registration_window_seconds)
    return _per_address("registration", address, Limit(settings.registration_attempts, window))


def login(settings: Settings, name: str, client: Client, *, knows_address: bool) -> Sequence[Limits]:
    """Wrong passwords per account and address, per address, and per account for all strange addresses together.

    Logins per address are limited too, right ones included. As `_guesses_by_name` for the choices.
    """
    window = timedelta(seconds=settings.login_window_seconds)
    logins = Limit(settings.login_address_total, window, counts_successes=True)
    return _guesses_by_name(
        settings, "login", name, client, knows_address=knows_address, per_address={"logins of address": logins}
    )


def recovery_code(settings: Settings, user_id: UUID, address: str) -> Limits:
    """Wrong recovery codes per account and address: a thief of the password can't close this way in for its owner."""
    window = timedelta(seconds=settings.recovery_code_window_seconds)
    return {_key("recovery code", str(user_id), address): Limit(settings.recovery_code_attempts, window)}


def enrollment_restart(settings: Settings, user_id: UUID) -> Limits:
    """New TOTP secrets per account."""
    window = timedelta(seconds=settings.enrollment_restart_window_seconds)
    return {_key("enrollment restart", str(user_id)): Limit(settings.enrollment_restarts, window)}


def account_changes(settings: Settings, session_id: UUID) -> Limits:
    """Changes to an account per session: whoever holds a stolen one can't use up its owner's."""
    window = timedelta(seconds=settings.account_change_window_seconds)
    return {_key("account change", str(session_id)): Limit(settings.account_changes, window)}


def refresh(settings: Settings, address: str) -> Limits:
    """Refused refresh tokens per address."""
    window = timedelta(seconds=settings.refresh_window_seconds)
    return _per_address("refresh", address, Limit(settings.refresh_attempts, window))


def current_password(settings: Settings, session_id: UUID) -> Limits:
    """Wrong current passwords per session: whoever holds a stolen one can't make its owner wait."""
    return {_key("current password", str(session_id)): _wrong_passwords(settings)}


def password_reset(settings: Settings, name: str, client: Client, *, knows_address: bool) -> Sequence[Limits]:
    """Refused resets, in the way of wrong passwords, but apart from them: neither uses the other's tries up."""
    return _guesses_by_name(settings, "password reset", name, client, knows_address=knows_address, per_address={})


def of_account(user_id: UUID, name: str, addresses: list[str]) -> list[bytes]:
    """The keys under which something may be counted against an account, as far as they can be told."""
    return [
        _key("login strangers", name),
        _key("enrollment restart", str(user_id)),
        *(_key("login", name, address) for address in addresses),
        *(_key("recovery code", str(user_id), address) for address in addresses),
        _key("password reset strangers", name),
        *(_key("password reset", name, address) for address in addresses),
    ]


def otp_backoff(settings: Settings) -> Backoff:
    """The waits that wrong one-time codes in a row make."""
    return Backoff(
        timedelta(seconds=settings.otp_backoff_first_seconds), timedelta(seconds=settings.otp_backoff_longest_seconds)
    )


def _guesses_by_name(
    settings: Settings,
    what: str,
    name: str,
    client: Client,
    *,
    knows_address: bool,
    per_address: Mapping[str, Limit],
) -> Sequence[Limits]:
    """The limits of an attempt to prove whose account a name is; the first choice that allows it counts.

    An unknown name is counted like a known one. An account at an address from which it signed in before has a choice
    more: others at that address, who may be guests of the same network, don't use up its attempts. That is for the
    first failures of the account only, and under limits that are wider for all known accounts of the address together.
    """
    address = client.address
    window = timedelta(seconds=settings.login_window_seconds)
    own = _key(what, name, address)
    per_address = {f"{what} address": Limit(settings.login_address_attempts, window), **per_address}
    usual = {own: _wrong_passwords(settings)}
    for key, limit in per_address.items():
        usual |= _per_address(key, address, limit)
    if not knows_address:
        wait = timedelta(seconds=settings.login_stranger_wait_seconds)
        usual[_key(f"{what} strangers", name)] = Limit(
            settings.login_stranger_attempts,
            timedelta(seconds=settings.login_stranger_window_seconds),
            Backoff(wait, wait),
            new_addresses=True,
        )
        return [usual]
    if client.shares_address:
        return [usual]
    # Fewer than make waits, which are for the usual limits to count.
    known = {own: Limit(min(_FAILURES_AT_A_KNOWN_ADDRESS + 1, settings.login_attempts - 1), window)}
    for key, limit in per_address.items():
        known |= _per_address(f"known {key}", address, limit, times=_TIMES_WIDER_FOR_KNOWN)
    return [known, usual]


def _per_address(what: str, address: str, limit: Limit, times: int = 1) -> dict[bytes, Limit]:
    """A limit of that many times an address and, for IPv6, wider ones for the networks that contain it."""
    return {
        _key(what, network): replace(limit, attempts=limit.attempts * times * wider)
        for network, wider in zip(reversed(networks(address)), _TIMES_WIDER, strict=False)
    }


def _wrong_passwords(settings: Settings) -> Limit:
    backoff = Backoff(
        timedelta(seconds=settings.login_backoff_first_seconds),
        timedelta(seconds=settings.login_backoff_longest_seconds),
    )
    return Limit(settings.login_attempts, timedelta(seconds=settings.login_window_seconds), backoff)


def _key(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


def session_refreshes(settings: Settings) -> Limit:
    """Rotations of one session's tokens, counted in its row."""
    window = timedelta(seconds=settings.session_refresh_window_seconds)
    return Limit(settings.session_refreshes, window)

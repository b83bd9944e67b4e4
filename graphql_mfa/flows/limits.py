"""The limits that are counted in the store, and the keys they are counted under."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from graphql_mfa.core.throttling import Backoff, Limit
from graphql_mfa.settings import Settings

Limits = dict[bytes, Limit]


def registration(settings: Settings, address: str) -> Limits:
    """Registrations per address."""
    window = timedelta(seconds=settings.registration_window_seconds)
    return {_key("registration", address): Limit(settings.registration_attempts, window)}


def login(settings: Settings, name: str, address: str, *, knows_address: bool) -> Limits:
    """Wrong passwords: per account and address, per address, and per account for all strange addresses together.

    An unknown name is counted like a known one; nothing here tells them apart.
    """
    return _guesses_by_name(settings, "login", name, address, knows_address=knows_address)


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
    return {_key("refresh", address): Limit(settings.refresh_attempts, window)}


def current_password(settings: Settings, session_id: UUID) -> Limits:
    """Wrong current passwords per session: whoever holds a stolen one can't make its owner wait."""
    return {_key("current password", str(session_id)): _wrong_passwords(settings)}


def password_reset(settings: Settings, name: str, address: str, *, knows_address: bool) -> Limits:
    """Refused resets, in the way of wrong passwords, but apart from them: neither uses the other's tries up."""
    return _guesses_by_name(settings, "password reset", name, address, knows_address=knows_address)


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


def _guesses_by_name(settings: Settings, what: str, name: str, address: str, *, knows_address: bool) -> Limits:
    limits = {
        _key(what, name, address): _wrong_passwords(settings),
        _key(f"{what} address", address): Limit(
            settings.login_address_attempts, timedelta(seconds=settings.login_window_seconds)
        ),
    }
    if not knows_address:
        wait = timedelta(seconds=settings.login_stranger_wait_seconds)
        limits[_key(f"{what} strangers", name)] = Limit(
            settings.login_stranger_attempts,
            timedelta(seconds=settings.login_stranger_window_seconds),
            Backoff(wait, wait),
        )
    return limits


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

"""Expired rows, deleted in batches that hold the write lock only briefly."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from graphql_mfa.store import security_events
from graphql_mfa.store.models import (
    Base,
    Challenge,
    KnownAddress,
    OtpFailure,
    OutboxMessage,
    ReservedName,
    SecurityEvent,
    Session,
    Throttle,
    TotpDevice,
    User,
)

Batch = Callable[[Connection], int]


def batches(
    now: datetime,
    *,
    rows: int,
    otp_failure_window: timedelta,
    event_retention: timedelta,
    known_address_retention: timedelta,
    outbox_retention: timedelta,
) -> dict[str, Batch]:
    """One transaction per table: it deletes up to `rows` expired rows and returns how many.

    outbox_retention: of messages that are given up, and of those for a sink that nobody serves any more.
    """
    idle = or_(Throttle.blocked_until.is_(None), Throttle.blocked_until <= now)
    return {
        "challenges": _batch(Challenge, Challenge.digest, Challenge.expires_at <= now, rows),
        "sessions": _batch(Session, Session.id, Session.expires_at <= now, rows),
        "users": _batch_of_users(User.enrollment_expires_at <= now, now, rows),
        "deletions": lambda connection: security_events.erase_batch(connection, now, rows),
        "otp_failures": _batch(OtpFailure, OtpFailure.id, OtpFailure.at <= now - otp_failure_window, rows),
        "security_events": _batch(SecurityEvent, SecurityEvent.id, SecurityEvent.at <= now - event_retention, rows),
        "outbox": _batch(OutboxMessage, OutboxMessage.number, OutboxMessage.since <= now - outbox_retention, rows),
        "known_addresses": _batch_of_addresses(now - known_address_retention, rows),
        "reserved_names": _batch(ReservedName, ReservedName.digest, ReservedName.ends_at <= now, rows),
        "totp_devices": _batch(TotpDevice, TotpDevice.id, TotpDevice.expires_at <= now, rows),
        "throttles": _batch(Throttle, Throttle.key, and_(Throttle.window_ends_at <= now, idle), rows),
    }


def _batch(model: type[Base], key: InstrumentedAttribute[object], expired: ColumnElement[bool], rows: int) -> Batch:
    some = select(key).where(expired).limit(rows)
    # `expired` again: a row that changed while this statement waited for it is judged by what it is now.
    return lambda connection: connection.execute(delete(model).where(key.in_(some), expired)).rowcount


def _batch_of_addresses(used_before: datetime, rows: int) -> Batch:
    unused = KnownAddress.last_used_at <= used_before
    some = select(KnownAddress.user_id, KnownAddress.address).where(unused).limit(rows)
    removed = delete(KnownAddress).where(tuple_(KnownAddress.user_id, KnownAddress.address).in_(some), unused)
    return lambda connection: connection.execute(removed).rowcount


def _batch_of_users(abandoned: ColumnElement[bool], now: datetime, rows: int) -> Batch:
    """Their events, which hold the addresses of those who registered, hang on nothing else and are removed as well."""
    some = select(User.id).where(abandoned).limit(rows)
    removed = delete(User).where(User.id.in_(some), abandoned).returning(User.id)

    def batch(connection: Connection) -> int:
        if gone := connection.scalars(removed).all():
            security_events.remove_events(connection, gone, now)
        return len(gone)

    return batch

"""Deleting expired rows, in batches that have the write lock only briefly."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, inspect, or_, select, tuple_

from graphql_mfa.store import security_events
from graphql_mfa.store.models import (
    Base,
    ChallengeRow,
    KnownAddressRow,
    OtpFailureRow,
    OutboxRow,
    ReservedNameRow,
    SecurityEventRow,
    SessionRow,
    ThrottleRow,
    TotpDeviceRow,
    UsedCeremonyRow,
    UserRow,
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
    ceremony_retention: timedelta,
) -> dict[str, Batch]:
    """One transaction per table: it deletes up to `rows` expired rows and returns how many.

    outbox_retention: of messages that were given up, and of those for a sink that no process serves any more.
    ceremony_retention: of ceremonies that were used, after they expired.
    """
    idle = or_(ThrottleRow.blocked_until.is_(None), ThrottleRow.blocked_until <= now)
    return {
        "challenges": _batch(ChallengeRow, ChallengeRow.expires_at <= now, rows),
        "sessions": _batch(SessionRow, SessionRow.expires_at <= now, rows),
        "users": _batch_of_users(now, rows),
        "deletions": lambda connection: security_events.erase_batch(connection, now, rows),
        "otp_failures": _batch(OtpFailureRow, OtpFailureRow.at <= now - otp_failure_window, rows),
        "security_events": _batch(SecurityEventRow, SecurityEventRow.at <= now - event_retention, rows),
        "outbox": _batch(OutboxRow, OutboxRow.since <= now - outbox_retention, rows),
        "known_addresses": _batch(KnownAddressRow, KnownAddressRow.last_used_at <= now - known_address_retention, rows),
        "reserved_names": _batch(ReservedNameRow, ReservedNameRow.ends_at <= now, rows),
        "used_ceremonies": _batch(UsedCeremonyRow, UsedCeremonyRow.expires_at <= now - ceremony_retention, rows),
        "totp_devices": _batch(TotpDeviceRow, TotpDeviceRow.expires_at <= now, rows),
        "throttles": _batch(ThrottleRow, and_(ThrottleRow.window_ends_at <= now, idle), rows),
    }


def _batch(model: type[Base], expired: ColumnElement[bool], rows: int) -> Batch:
    key = inspect(model).primary_key
    some = select(*key).where(expired).limit(rows)
    # `expired` again: PostgreSQL checks it once more for a row that changed while this statement waited for it.
    removed = delete(model).where(tuple_(*key).in_(some), expired)
    return lambda connection: connection.execute(removed).rowcount


def _batch_of_users(now: datetime, rows: int) -> Batch:
    """Delete their events as well: they have addresses of clients, and no foreign key."""
    abandoned = UserRow.enrollment_expires_at <= now
    some = select(UserRow.id).where(abandoned).limit(rows)
    removed = delete(UserRow).where(UserRow.id.in_(some), abandoned).returning(UserRow.id)

    def batch(connection: Connection) -> int:
        if gone := connection.scalars(removed).all():
            security_events.erase_events(connection, gone, None, now)
        return len(gone)

    return batch

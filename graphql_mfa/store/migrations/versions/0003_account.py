"""Names of devices, the clients of sessions and events, and an outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# UUIDs of version 7 (RFC 9562 5.7): the milliseconds, the version, and the random rest of the present id.
_IDS_IN_ORDER = {
    "sqlite": "UPDATE mfa_security_events SET id = printf('%012x', strftime('%s', at) * 1000 + substr(at, 21, 3))"
    " || '7' || substr(id, 14)",
    "postgresql": "UPDATE mfa_security_events SET id = "
    "(lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')"
    " || '7' || substr(replace(id::text, '-', ''), 14))::uuid",
}


def upgrade() -> None:
    for table in ("mfa_sessions", "mfa_security_events"):
        op.add_column(table, sa.Column("ip_address", sa.String()))
        op.add_column(table, sa.Column("user_agent", sa.String()))
    op.drop_index("ix_mfa_security_events_user_id_at", "mfa_security_events")
    op.create_index("ix_mfa_security_events_user_id_id", "mfa_security_events", ["user_id", "id"])
    # Ids sort by time from this version on; existing ones are random UUIDs.
    op.execute(_IDS_IN_ORDER[op.get_bind().dialect.name])

    op.add_column(
        "mfa_totp_devices", sa.Column("name", sa.String(), nullable=False, server_default="Authenticator app")
    )
    op.add_column("mfa_totp_devices", sa.Column("session_id", sa.Uuid()))
    op.add_column("mfa_totp_devices", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("mfa_totp_devices", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    op.create_index("ix_mfa_totp_devices_expires_at", "mfa_totp_devices", ["expires_at"])

    op.create_table(
        "mfa_outbox",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String()),
        sa.Column("ip_address", sa.String()),
        sa.Column("user_agent", sa.String()),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_mfa_outbox_since", "mfa_outbox", ["since"])
    op.create_index("ix_mfa_outbox_sink_due_at", "mfa_outbox", ["sink", "due_at"])
    open_only = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_mfa_outbox_sink_user_id_number",
        "mfa_outbox",
        ["sink", "user_id", "number"],
        sqlite_where=open_only,
        postgresql_where=open_only,
    )

"""What a signed-in user sees and changes: named devices, and whose clients sessions and security events are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it."""
    for table in ("sessions", "security_events"):
        op.add_column(table, sa.Column("ip_address", sa.String(), nullable=True))
        op.add_column(table, sa.Column("user_agent", sa.String(), nullable=True))
    op.drop_index("ix_security_events_user_id_at", "security_events")
    op.create_index("ix_security_events_user_id_id", "security_events", ["user_id", "id"])

    op.add_column("totp_devices", sa.Column("name", sa.String(), nullable=False, server_default="Authenticator app"))
    op.add_column("totp_devices", sa.Column("session_id", sa.Uuid(), nullable=True))
    op.add_column("totp_devices", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("totp_devices", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_totp_devices_expires_at", "totp_devices", ["expires_at"])

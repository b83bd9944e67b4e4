"""Security events, disabled accounts, reserved names, and the key that encrypted each secret."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "mfa_security_events",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mfa_security_events_at", "mfa_security_events", ["at"])
    op.create_index("ix_mfa_security_events_user_id_at", "mfa_security_events", ["user_id", "at"])

    op.create_table(
        "mfa_reserved_names",
        sa.Column("digest", sa.LargeBinary(length=32), primary_key=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mfa_reserved_names_ends_at", "mfa_reserved_names", ["ends_at"])

    op.add_column("mfa_users", sa.Column("disabled_at", sa.DateTime(timezone=True)))

    op.add_column("mfa_totp_devices", sa.Column("key_id", sa.LargeBinary(length=4)))
    op.execute("UPDATE mfa_totp_devices SET key_id = substr(sealed_secret, 1, 4)")
    with op.batch_alter_table("mfa_totp_devices") as table:
        table.alter_column("key_id", nullable=False)
    op.create_index("ix_mfa_totp_devices_key_id_id", "mfa_totp_devices", ["key_id", "id"])

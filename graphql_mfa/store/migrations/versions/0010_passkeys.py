"""Passkeys, used ceremonies, the methods of sessions, and the factors of security events."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("mfa_users", sa.Column("webauthn_handle", sa.LargeBinary(64)))
    op.create_index("ix_mfa_users_webauthn_handle", "mfa_users", ["webauthn_handle"], unique=True)
    op.add_column("mfa_sessions", sa.Column("user_verified", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("mfa_sessions", sa.Column("methods", sa.String()))
    op.add_column("mfa_security_events", sa.Column("factor", sa.String()))
    op.add_column("mfa_outbox", sa.Column("factor", sa.String()))
    op.create_table(
        "mfa_passkeys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(1023), nullable=False, unique=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("user_verified", sa.Boolean(), nullable=False),
        sa.Column("discoverable", sa.Boolean()),
        sa.Column("aaguid", sa.Uuid(), nullable=False),
        sa.Column("transports", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_mfa_passkeys_user_id", "mfa_passkeys", ["user_id"])
    op.create_table(
        "mfa_used_ceremonies",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mfa_used_ceremonies_expires_at", "mfa_used_ceremonies", ["expires_at"])

"""Passkeys, used ceremonies, the methods of sessions, and the factors of security events."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the tables and columns."""
    op.add_column("mfa_users", sa.Column("webauthn_handle", sa.LargeBinary(64), nullable=True))
    op.create_index("ix_mfa_users_webauthn_handle", "mfa_users", ["webauthn_handle"], unique=True)
    op.add_column("mfa_sessions", sa.Column("user_verified", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("mfa_sessions", sa.Column("methods", sa.String(), nullable=True))
    op.add_column("mfa_security_events", sa.Column("factor", sa.String(), nullable=True))
    op.add_column("mfa_outbox", sa.Column("factor", sa.String(), nullable=True))
    op.create_table(
        "mfa_passkeys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(1023), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("user_verified", sa.Boolean(), nullable=False),
        sa.Column("discoverable", sa.Boolean(), nullable=True),
        sa.Column("aaguid", sa.Uuid(), nullable=False),
        sa.Column("transports", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_passkeys_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mfa_passkeys"),
        sa.UniqueConstraint("credential_id", name="uq_mfa_passkeys_credential_id"),
    )
    op.create_index("ix_mfa_passkeys_user_id", "mfa_passkeys", ["user_id"])
    op.create_table(
        "mfa_used_ceremonies",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_mfa_used_ceremonies"),
    )
    op.create_index("ix_mfa_used_ceremonies_expires_at", "mfa_used_ceremonies", ["expires_at"])

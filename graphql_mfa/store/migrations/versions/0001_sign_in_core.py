"""The tables of the sign-in core."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "mfa_throttles",
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("window_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_mfa_throttles"),
    )
    op.create_index("ix_mfa_throttles_window_ends_at", "mfa_throttles", ["window_ends_at"])

    op.create_table(
        "mfa_users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("username_key", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mfa_enabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enrollment_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enrollment_code_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("otp_failures", sa.Integer(), nullable=False),
        sa.Column("otp_blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("otp_disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_mfa_users"),
        sa.UniqueConstraint("username_key", name="uq_mfa_users_username_key"),
    )
    op.create_index("ix_mfa_users_enrollment_expires_at", "mfa_users", ["enrollment_expires_at"])

    op.create_table(
        "mfa_challenges",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_challenges_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_mfa_challenges"),
    )
    op.create_index("ix_mfa_challenges_expires_at", "mfa_challenges", ["expires_at"])
    op.create_index("ix_mfa_challenges_user_id_created_at", "mfa_challenges", ["user_id", "created_at"])

    op.create_table(
        "mfa_known_addresses",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_known_addresses_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "address", name="pk_mfa_known_addresses"),
    )
    op.create_table(
        "mfa_otp_failures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_otp_failures_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mfa_otp_failures"),
    )
    op.create_index("ix_mfa_otp_failures_at", "mfa_otp_failures", ["at"])
    op.create_index("ix_mfa_otp_failures_user_id_at", "mfa_otp_failures", ["user_id", "at"])

    op.create_table(
        "mfa_recovery_codes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_recovery_codes_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "digest", name="pk_mfa_recovery_codes"),
    )
    op.create_table(
        "mfa_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("factor", sa.String(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.LargeBinary(length=4), nullable=False),
        sa.Column("refresh_digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_sessions_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mfa_sessions"),
        sa.UniqueConstraint("refresh_digest", name="uq_mfa_sessions_refresh_digest"),
    )
    op.create_index("ix_mfa_sessions_expires_at", "mfa_sessions", ["expires_at"])
    op.create_index("ix_mfa_sessions_user_id", "mfa_sessions", ["user_id"])

    op.create_table(
        "mfa_totp_devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["mfa_users.id"], name="fk_mfa_totp_devices_user_id_mfa_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mfa_totp_devices"),
    )
    op.create_index("ix_mfa_totp_devices_user_id", "mfa_totp_devices", ["user_id"])

    op.create_table(
        "mfa_used_refresh_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mfa_sessions.id"],
            name="fk_mfa_used_refresh_tokens_session_id_mfa_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_mfa_used_refresh_tokens"),
    )
    op.create_index("ix_mfa_used_refresh_tokens_session_id", "mfa_used_refresh_tokens", ["session_id"])

"""The tables of the sign-in core."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "mfa_throttles",
        sa.Column("key", sa.LargeBinary(length=32), primary_key=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("window_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_mfa_throttles_window_ends_at", "mfa_throttles", ["window_ends_at"])

    op.create_table(
        "mfa_users",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("username_key", sa.String(), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mfa_enabled_at", sa.DateTime(timezone=True)),
        sa.Column("enrollment_expires_at", sa.DateTime(timezone=True)),
        sa.Column("enrollment_code_digest", sa.LargeBinary(length=32)),
        sa.Column("otp_failures", sa.Integer(), nullable=False),
        sa.Column("otp_blocked_until", sa.DateTime(timezone=True)),
        sa.Column("otp_disabled_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_mfa_users_enrollment_expires_at", "mfa_users", ["enrollment_expires_at"])

    op.create_table(
        "mfa_challenges",
        sa.Column("digest", sa.LargeBinary(length=32), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    op.create_index("ix_mfa_challenges_expires_at", "mfa_challenges", ["expires_at"])
    op.create_index("ix_mfa_challenges_user_id_created_at", "mfa_challenges", ["user_id", "created_at"])

    op.create_table(
        "mfa_known_addresses",
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("address", sa.String(), primary_key=True),
    )
    op.create_table(
        "mfa_otp_failures",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mfa_otp_failures_at", "mfa_otp_failures", ["at"])
    op.create_index("ix_mfa_otp_failures_user_id_at", "mfa_otp_failures", ["user_id", "at"])

    op.create_table(
        "mfa_recovery_codes",
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("digest", sa.LargeBinary(length=32), primary_key=True),
    )
    op.create_table(
        "mfa_sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("factor", sa.String(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.LargeBinary(length=4), nullable=False),
        sa.Column("refresh_digest", sa.LargeBinary(length=32), nullable=False, unique=True),
    )
    op.create_index("ix_mfa_sessions_expires_at", "mfa_sessions", ["expires_at"])
    op.create_index("ix_mfa_sessions_user_id", "mfa_sessions", ["user_id"])

    op.create_table(
        "mfa_totp_devices",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("mfa_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("last_step", sa.Integer()),
    )
    op.create_index("ix_mfa_totp_devices_user_id", "mfa_totp_devices", ["user_id"])

    op.create_table(
        "mfa_used_refresh_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), primary_key=True),
        sa.Column("session_id", sa.Uuid(), sa.ForeignKey("mfa_sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
    )
    op.create_index("ix_mfa_used_refresh_tokens_session_id", "mfa_used_refresh_tokens", ["session_id"])

"""Families of refresh tokens, limits of sessions, the factors that opened them, and deletions in progress."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Deleting an account cascades to its sessions and their used tokens in one statement: limit both.
_END_SESSIONS_BEYOND = """
DELETE FROM mfa_sessions WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY refreshed_at DESC, id) AS place FROM mfa_sessions
  ) AS placed WHERE place > 100
)"""
_FORGET_TOKENS_BEYOND = """
DELETE FROM mfa_used_refresh_tokens WHERE generation < (
  SELECT mfa_sessions.generation - 60 FROM mfa_sessions WHERE mfa_sessions.id = mfa_used_refresh_tokens.session_id
)"""


def upgrade() -> None:
    op.add_column("mfa_sessions", sa.Column("family_digest", sa.LargeBinary(32)))
    op.create_index("ix_mfa_sessions_family_digest", "mfa_sessions", ["family_digest"], unique=True)
    op.add_column("mfa_sessions", sa.Column("refreshes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("mfa_sessions", sa.Column("refresh_window_ends_at", sa.DateTime(timezone=True)))
    op.add_column("mfa_sessions", sa.Column("opened_by", sa.Uuid()))
    op.add_column("mfa_sessions", sa.Column("verified_by", sa.Uuid()))
    op.add_column("mfa_sessions", sa.Column("stale_since", sa.DateTime(timezone=True)))
    op.execute(_FORGET_TOKENS_BEYOND)
    op.execute(_END_SESSIONS_BEYOND)

    op.create_table(
        "mfa_deletions",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("replacement_id", sa.Uuid()),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mfa_deletions_since_user_id", "mfa_deletions", ["since", "user_id"])

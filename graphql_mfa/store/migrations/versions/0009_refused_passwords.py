"""Passwords refused since the last sign-in, and the counts of security events."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("mfa_challenges", sa.Column("refused_passwords", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("mfa_security_events", sa.Column("count", sa.Integer()))
    op.add_column("mfa_outbox", sa.Column("count", sa.Integer()))

"""The last use of each known address, so that unused ones can be deleted."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column. Existing addresses count as used now."""
    op.add_column("mfa_known_addresses", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    known = sa.table("mfa_known_addresses", sa.column("last_used_at", sa.DateTime(timezone=True)))
    op.execute(sa.update(known).values(last_used_at=sa.bindparam("now", datetime.now(UTC))))
    with op.batch_alter_table("mfa_known_addresses") as table:
        table.alter_column("last_used_at", nullable=False)
    op.create_index("ix_mfa_known_addresses_last_used_at", "mfa_known_addresses", ["last_used_at"])

"""The outbox: the last error of each delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("mfa_outbox", sa.Column("last_error", sa.String()))

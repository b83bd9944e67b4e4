"""The key with which a client repeats a refresh whose answer was lost."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("mfa_sessions", sa.Column("retry_digest", sa.LargeBinary(32)))

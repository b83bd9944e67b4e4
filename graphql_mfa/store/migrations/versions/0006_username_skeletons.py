"""Skeletons of usernames, by which look-alikes are refused."""

import sqlalchemy as sa
from alembic import op

from graphql_mfa.core.accounts import skeleton_digest

revision = "0006"
down_revision = "0005"

_BATCH_ROWS = 1000
_users = sa.table(
    "mfa_users",
    sa.column("id", sa.Uuid()),
    sa.column("username", sa.String()),
    sa.column("username_skeleton", sa.LargeBinary(32)),
)


def upgrade() -> None:
    """Add the column, and fill it for existing accounts, which can look alike."""
    op.add_column("mfa_users", sa.Column("username_skeleton", sa.LargeBinary(32)))
    connection = op.get_bind()
    page = sa.select(_users.c.id, _users.c.username).order_by(_users.c.id).limit(_BATCH_ROWS)
    fill = (
        sa.update(_users)
        .where(_users.c.id == sa.bindparam("user"))
        .values(username_skeleton=sa.bindparam("skeleton", type_=sa.LargeBinary(32)))
    )
    rows = connection.execute(page).all()
    while rows:
        connection.execute(fill, [{"user": row.id, "skeleton": skeleton_digest(row.username)} for row in rows])
        rows = connection.execute(page.where(_users.c.id > rows[-1].id)).all()
    op.create_index("ix_mfa_users_username_skeleton", "mfa_users", ["username_skeleton"])

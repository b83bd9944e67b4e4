"""Alembic's environment: migrates the connection in the configuration's attributes."""

from alembic import context

from graphql_mfa.store.migrations import VERSION_TABLE
from graphql_mfa.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite alters tables by copying them.
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()

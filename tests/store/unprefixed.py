"""Stores as the releases made them whose tables had no prefix."""

import re
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from graphql_mfa.store import migrations

REVISIONS = ("0001", "0002", "0003")
_ENV = """
from alembic import context
from graphql_mfa.store.models import Base
connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=connection.dialect.name == "sqlite"
)
context.run_migrations()
"""


def upgrade(connection: Connection, revision: str) -> None:
    """Migrate as such a release does, by its migrations: those of now, with the names of then."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "env.py").write_text(_ENV)
        versions = Path(folder) / "versions"
        versions.mkdir()
        for released in REVISIONS:
            (file,) = (Path(migrations.__file__).parent / "versions").glob(f"{released}_*.py")
            (versions / file.name).write_text(re.sub("mfa_(?!enabled_at)", "", file.read_text()))
        config = Config()
        config.set_main_option("script_location", folder)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def tables(connection: Connection, schema: str | None = None) -> dict[str, Any]:
    """All that each table consists of; names of constraints on PostgreSQL alone, SQLite uses them for nothing."""
    inspector = inspect(connection)

    def without_names(constraints: list[Any]) -> list[Any]:
        ignored = {"comment", *(["name"] if connection.dialect.name == "sqlite" else [])}
        return sorted(({key: of[key] for key in of.keys() - ignored} for of in constraints), key=repr)

    def indexes(name: str) -> list[Any]:
        found = inspector.get_indexes(name, schema)
        options = [
            {option: str(value) for option, value in index.get("dialect_options", {}).items()} for index in found
        ]
        return sorted(({**index, "dialect_options": of} for index, of in zip(found, options, strict=True)), key=repr)

    return {
        name: {
            "columns": [column | {"type": str(column["type"])} for column in inspector.get_columns(name, schema)],
            "primary key": without_names([inspector.get_pk_constraint(name, schema)]),
            "unique": without_names(list(inspector.get_unique_constraints(name, schema))),
            "foreign keys": without_names(list(inspector.get_foreign_keys(name, schema))),
            "indexes": indexes(name),
        }
        for name in inspector.get_table_names(schema)
    }


def rows(connection: Connection, names: list[str]) -> dict[str, list[Any]]:
    """The rows of these tables."""
    return {name: list(connection.exec_driver_sql(f"SELECT * FROM {name}").all()) for name in names}

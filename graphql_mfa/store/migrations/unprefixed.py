"""Tables of the releases without a prefix: recognised by all tables and columns, and renamed in place."""

import re
from collections.abc import Iterable
from functools import cache

from alembic import command
from sqlalchemy import Connection, NullPool, create_engine, inspect

from graphql_mfa.store.migrations import VERSION_TABLE, alembic_config

_RELEASED = ("0001", "0002", "0003")
_PREFIX = "mfa_"

_OLD_VERSION_TABLE = "alembic_version"
_OLD_VERSIONS = "SELECT version_num FROM alembic_version"
# Sorts before every version, so earlier releases report that the database is not migrated; and unknown to Alembic, so
# they fail to migrate instead of creating empty tables.
_MARK_AS_MOVED = "UPDATE alembic_version SET version_num = '0000_moved_to_mfa_version'"
_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?"

# A PostgreSQL table's objects, and how to rename them. Renaming an index renames its constraint.
_OBJECTS = (
    (
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = '{table}'::regclass",
        "ALTER INDEX {name} RENAME TO {new}",
    ),
    (
        "SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass",
        "ALTER TABLE {table} RENAME CONSTRAINT {name} TO {new}",
    ),
    (
        "SELECT relname FROM pg_depend JOIN pg_class ON pg_class.oid = objid AND classid = 'pg_class'::regclass"
        " WHERE relkind = 'S' AND refclassid = 'pg_class'::regclass AND refobjid = '{table}'::regclass",
        "ALTER SEQUENCE {name} RENAME TO {new}",
    ),
)


def find(connection: Connection) -> str | None:
    """The revision of unprefixed tables, if all of them exist with exactly its columns; else None.

    Reads only the names of tables and columns unless they match.
    """
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    if _OLD_VERSION_TABLE not in names:
        return None
    for revision, tables in _released().items():
        if tables.keys() <= names and all(
            {found["name"] for found in inspector.get_columns(name)} == columns for name, columns in tables.items()
        ):
            return revision if connection.exec_driver_sql(_OLD_VERSIONS).scalars().all() == [revision] else None
    return None


def move(connection: Connection, schema: str | None) -> str | None:
    """Rename unprefixed tables to the names of this release. Return their revision; None if there are none.

    schema: the PostgreSQL schema to move the tables to; None leaves them where they are.
    """
    revision = find(connection)
    if revision is None:
        return None
    tables = _released()[revision].keys()
    rename = _rename_indexes if connection.dialect.name == "sqlite" else _rename_objects
    for name in tables:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {_PREFIX}{name}")
        rename(connection, name, tables)
        if schema:
            connection.exec_driver_sql(f"ALTER TABLE {_PREFIX}{name} SET SCHEMA {_quoted(connection, schema)}")
    connection.exec_driver_sql(_MARK_AS_MOVED)
    return revision


@cache
def _released() -> dict[str, dict[str, set[str]]]:
    """The columns of the tables of each revision, read from a migrated database in memory."""
    engine = create_engine("sqlite://", poolclass=NullPool)
    columns = {}
    with engine.begin() as connection:
        for revision in _RELEASED:
            command.upgrade(alembic_config(connection), revision)
            inspector = inspect(connection)
            columns[revision] = {
                name.removeprefix(_PREFIX): {found["name"] for found in inspector.get_columns(name)}
                for name in inspector.get_table_names()
                if name != VERSION_TABLE
            }
    return columns


def _rename_indexes(connection: Connection, name: str, tables: Iterable[str]) -> None:
    """Recreate the indexes, which SQLite can't rename. Names of constraints have no use in SQLite, and stay."""
    for index, definition in connection.exec_driver_sql(_INDEXES, (_PREFIX + name,)).all():
        if (new := _renamed(index, name, tables)) != index:
            connection.exec_driver_sql(f"DROP INDEX {_quoted(connection, index)}")
            connection.exec_driver_sql(definition.replace(index, new, 1))


def _rename_objects(connection: Connection, name: str, tables: Iterable[str]) -> None:
    table = _PREFIX + name
    for query, statement in _OBJECTS:
        for found in connection.exec_driver_sql(query.format(table=table)).scalars().all():
            if (new := _renamed(found, name, tables)) != found:
                names = {"name": _quoted(connection, found), "new": _quoted(connection, new)}
                connection.exec_driver_sql(statement.format(table=table, **names))


def _renamed(found: str, name: str, tables: Iterable[str]) -> str:
    """The name with the prefix; unchanged if it doesn't follow the naming convention."""
    follows = re.fullmatch(rf"((?:ix|uq|fk|pk)_|){name}(|_.*)", found)
    if not follows:
        return found
    kind, rest = follows.groups()
    if kind == "fk_":
        rest = re.sub(rf"_({'|'.join(tables)})$", rf"_{_PREFIX}\1", rest)
    return f"{kind}{_PREFIX}{name}{rest}"


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)

"""Schema migrations, applied with Alembic; before them, tables of the releases without a prefix are renamed.

A version has four digits. The first one changes when a migration does more than add, so a release runs on every later
version with the same first digit, and replicas can be upgraded one by one.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, NullPool, String, Table, create_engine, func, inspect, select
from sqlalchemy.schema import CreateSchema, SchemaItem

from graphql_mfa.store.models import Base
from graphql_mfa.store.outages import UnusableDatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0010"
VERSION_TABLE = "mfa_version"

_COMPATIBLE = re.compile("0(?!000)[0-9]{3}")
_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String))
_VERSIONS = select(_version.c.version_num)


class UnknownVersionError(UnusableDatabaseError):
    """The schema has a version that this release doesn't support."""

    message = f"{VERSION_TABLE} holds {{}}, which this release does not know: run the one that wrote it."


def version(connection: Connection) -> str:
    """The schema's version, possibly later than HEAD.

    Raises UnknownVersionError, UnusableDatabaseError for an encoding other than UTF-8, and SQLAlchemyError without a
    version table.
    """
    if connection.dialect.name == "postgresql":  # SQLite has only Unicode encodings
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise UnusableDatabaseError(
                f"its encoding is {encoding}, which can't store every name; make one with ENCODING 'UTF8' TEMPLATE "
                "template0"
            )
    versions = connection.scalars(_VERSIONS).all()
    if len(versions) != 1 or not _COMPATIBLE.fullmatch(versions[0]):
        raise UnknownVersionError(" and ".join(map(repr, versions)) or "no version")
    return str(versions[0])


def has_store(connection: Connection) -> bool:
    """Whether the tables of any release exist."""
    return _has_version(connection) or _find_unprefixed(connection) is not None


_MIGRATING = int.from_bytes(b"mfa_migr")  # any number that others are not likely to lock


def upgrade(connection: Connection, target: str = HEAD) -> str | None:
    """Migrate to a version inside the caller's transaction. Return the version before; None without tables."""
    from alembic import command

    if connection.dialect.name == "postgresql":  # SQLite has one writer
        # When several processes start at once, one migrates, and the others then find the tables.
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
    schema = _schema(connection)
    if schema and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema, if_not_exists=True))
    versioned = _has_version(connection)
    moved = None if versioned else _move_unprefixed(connection, schema)
    before = connection.scalar(_VERSIONS) if versioned else moved
    if schema:
        # `schema_translate_map` applies neither to Alembic's ALTER TABLE nor to SQL in a migration.
        connection.exec_driver_sql(f"SET LOCAL search_path TO {_quoted(connection, schema)}")
    if moved:
        command.stamp(_alembic_config(connection), moved)
    command.upgrade(_alembic_config(connection), target)
    return before


def include_object(_object: SchemaItem, name: str | None, type_: str, *_: object) -> bool:
    """For a host's `context.configure(include_object=…)`: keep `--autogenerate` from dropping this package's tables."""
    return type_ != "table" or (name not in Base.metadata.tables and name != VERSION_TABLE)


def _alembic_config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _has_version(connection: Connection) -> bool:
    return inspect(connection).has_table(VERSION_TABLE, schema=_schema(connection))


def _schema(connection: Connection) -> str | None:
    return connection.schema_for_object(_version)


# Tables of the releases without a prefix are recognised by all tables and columns, and renamed in place.
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


def _find_unprefixed(connection: Connection) -> str | None:
    """The revision of unprefixed tables, if all exist with exactly its columns. Else only names are read: None."""
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    if _OLD_VERSION_TABLE not in names:
        return None
    for revision, tables in _released_tables().items():
        if tables.keys() <= names and all(
            {found["name"] for found in inspector.get_columns(name)} == columns for name, columns in tables.items()
        ):
            return revision if connection.exec_driver_sql(_OLD_VERSIONS).scalars().all() == [revision] else None
    return None


def _move_unprefixed(connection: Connection, schema: str | None) -> str | None:
    """Rename unprefixed tables to the names of this release. Return their revision; None if there are none.

    schema: the PostgreSQL schema to move the tables to; None leaves them where they are.
    """
    revision = _find_unprefixed(connection)
    if revision is None:
        return None
    tables = _released_tables()[revision].keys()
    rename = _rename_indexes if connection.dialect.name == "sqlite" else _rename_objects
    for name in tables:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {_PREFIX}{name}")
        rename(connection, name, tables)
        if schema:
            connection.exec_driver_sql(f"ALTER TABLE {_PREFIX}{name} SET SCHEMA {_quoted(connection, schema)}")
    connection.exec_driver_sql(_MARK_AS_MOVED)
    return revision


@cache
def _released_tables() -> dict[str, dict[str, set[str]]]:
    """The columns of the tables of each revision, read from a migrated database in memory."""
    from alembic import command

    engine = create_engine("sqlite://", poolclass=NullPool)
    columns = {}
    with engine.begin() as connection:
        for revision in _RELEASED:
            command.upgrade(_alembic_config(connection), revision)
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

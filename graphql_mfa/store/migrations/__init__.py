"""Schema migrations, applied with Alembic.

A version has four digits. The first one changes when a migration does more than add, so a release runs on every later
version with the same first digit, and replicas can be upgraded one by one.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.schema import CreateSchema, SchemaItem

from graphql_mfa.store.models import Base
from graphql_mfa.store.outages import UnusableDatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
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
    from graphql_mfa.store.migrations import unprefixed

    return _has_version(connection) or unprefixed.find(connection) is not None


def upgrade(connection: Connection, target: str = HEAD) -> str | None:
    """Migrate to a version inside the caller's transaction. Return the version before; None without tables."""
    from alembic import command

    from graphql_mfa.store.migrations import unprefixed

    schema = _schema(connection)
    if schema and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema, if_not_exists=True))
    versioned = _has_version(connection)
    moved = None if versioned else unprefixed.move(connection, schema)
    before = connection.scalar(_VERSIONS) if versioned else moved
    if schema:
        # `schema_translate_map` applies neither to Alembic's ALTER TABLE nor to SQL in a migration.
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        connection.exec_driver_sql(f"SET LOCAL search_path TO {quoted}")
    if moved:
        command.stamp(alembic_config(connection), moved)
    command.upgrade(alembic_config(connection), target)
    return before


def include_object(_object: SchemaItem, name: str | None, type_: str, *_: object) -> bool:
    """Exclude this package's tables in a host's Alembic environment: `context.configure(include_object=…)`.

    Otherwise `alembic revision --autogenerate` would drop them.
    """
    return type_ != "table" or (name not in Base.metadata.tables and name != VERSION_TABLE)


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration for commands on a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _has_version(connection: Connection) -> bool:
    return inspect(connection).has_table(VERSION_TABLE, schema=_schema(connection))


def _schema(connection: Connection) -> str | None:
    return connection.schema_for_object(_version)

"""The schema's versions, applied with Alembic.

A version is four digits. The first one changes with a version that does more than add to the one before it, so a
release works on every later version with the first digit of its own, and replicas can be upgraded one by one.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.schema import CreateSchema, SchemaItem

from graphql_mfa.store.models import Base
from graphql_mfa.store.outages import UnusableDatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0007"
VERSION_TABLE = "mfa_version"

_COMPATIBLE = re.compile("0(?!000)[0-9]{3}")
_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String))
_VERSIONS = select(_version.c.version_num)


class UnknownVersionError(UnusableDatabaseError):
    """The store has a version that this release neither knows nor can work on."""

    def __init__(self, versions: Sequence[str]) -> None:
        """versions: the rows of the version table."""
        found = " and ".join(map(repr, versions)) or "no version"
        Exception.__init__(
            self, f"{VERSION_TABLE} holds {found}, which this release does not know: run the one that wrote it."
        )


def version(connection: Connection) -> str:
    """The store's version, which may be a later one than HEAD.

    Raises UnknownVersionError, UnusableDatabaseError for an encoding that lacks characters, and SQLAlchemyError where
    there is no store.
    """
    if connection.dialect.name == "postgresql":  # SQLite has but encodings of Unicode
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise UnusableDatabaseError(
                f"its encoding is {encoding}, which can't store every name; make one with ENCODING 'UTF8' TEMPLATE "
                "template0"
            )
    versions = connection.scalars(_VERSIONS).all()
    if len(versions) != 1 or not _COMPATIBLE.fullmatch(versions[0]):
        raise UnknownVersionError(versions)
    return str(versions[0])


def has_store(connection: Connection) -> bool:
    """Whether a store is there, of this release or of any other."""
    from graphql_mfa.store.migrations import unprefixed

    return _has_version(connection) or unprefixed.find(connection) is not None


def upgrade(connection: Connection, target: str = HEAD) -> str | None:
    """Bring the schema to that version inside the caller's transaction.

    Return the version before; None when there was no store.
    """
    from alembic import command

    from graphql_mfa.store.migrations import unprefixed

    schema = _schema(connection)
    if schema and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema, if_not_exists=True))
    versioned = _has_version(connection)
    moved = None if versioned else unprefixed.move(connection, schema)
    before = connection.scalar(_VERSIONS) if versioned else moved
    if schema:
        # Alembic's statements that alter a table are not translated to a schema, and neither is SQL in a migration.
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        connection.exec_driver_sql(f"SET LOCAL search_path TO {quoted}")
    if moved:
        command.stamp(alembic_config(connection), moved)
    command.upgrade(alembic_config(connection), target)
    return before


def include_object(_object: SchemaItem, name: str | None, type_: str, *_: object) -> bool:
    """For `context.configure(include_object=…)` in a host's Alembic environment: leave our tables out.

    Without it `alembic revision --autogenerate` would drop them, and their version table.
    """
    return type_ != "table" or (name not in Base.metadata.tables and name != VERSION_TABLE)


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration for commands on that connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _has_version(connection: Connection) -> bool:
    return inspect(connection).has_table(VERSION_TABLE, schema=_schema(connection))


def _schema(connection: Connection) -> str | None:
    return connection.schema_for_object(_version)

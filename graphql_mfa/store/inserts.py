"""INSERT … ON CONFLICT DO NOTHING, which SQLAlchemy spells once per engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from graphql_mfa.store.models import Base

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_unless_there(connection: Connection, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose unique keys are free; return how many were."""
    statement = _INSERT[connection.dialect.name](model).values(list(rows)).on_conflict_do_nothing()
    return connection.execute(statement).rowcount

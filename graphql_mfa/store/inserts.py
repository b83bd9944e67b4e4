"""INSERT … ON CONFLICT, which SQLAlchemy spells once per engine."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Executable

from graphql_mfa.store.models import Base


def insert_unless_there(connection: Connection, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose unique keys are free; return how many were, when it was asked for one row."""
    return connection.execute(_statement(connection.dialect.name, model), rows).rowcount


def insert_by_engine(dialect: str, model: type[Base]) -> Any:
    """An INSERT that may go on with ON CONFLICT."""
    # Only the one that is used: importing the other takes a start longer.
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(model)


@cache
def _statement(dialect: str, model: type[Base]) -> Executable:
    statement: Executable = insert_by_engine(dialect, model).on_conflict_do_nothing()
    return statement

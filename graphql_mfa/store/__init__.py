"""The database. The only package that imports SQLAlchemy; a transaction is a plain function of a connection.

Statements that requests run are built once, at import: building one costs several times what running it does. Bind
names must differ from column names: SQLAlchemy adds a matching parameter to SET.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection as Connection
from sqlalchemy import Executable
from sqlalchemy.orm import DeclarativeBase


def insert_unless_there(connection: Connection, model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose unique keys are free; return how many were, when it was asked for one row."""
    return connection.execute(_statement(connection.dialect.name, model), rows).rowcount


def insert_by_engine(dialect: str, model: type[DeclarativeBase]) -> Any:
    """An INSERT that may go on with ON CONFLICT, which SQLAlchemy spells once per engine."""
    # Only the one that is used: importing the other takes a start longer.
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(model)


@cache
def _statement(dialect: str, model: type[DeclarativeBase]) -> Executable:
    statement: Executable = insert_by_engine(dialect, model).on_conflict_do_nothing()
    return statement

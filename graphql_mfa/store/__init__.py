"""The database. The only package that imports SQLAlchemy; a transaction is a plain function of a connection.

Statements that requests run are built once, at import: building one costs several times what running it does. An
UPDATE without `values` sets the columns that its parameters name, so the other parameters must not have columns' names.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Executable, Insert, bindparam, insert, inspect, select
from sqlalchemy import Connection as Connection
from sqlalchemy.orm import DeclarativeBase

T = TypeVar("T")


def columns_of(model: type[DeclarativeBase], shape: type) -> list[ColumnElement[Any]]:
    """The columns of a model that correspond to the fields of a dataclass, labelled with the fields' names."""
    return [getattr(model, field.name).label(field.name) for field in fields(shape)]


def find_one(
    connection: Connection, statement: Executable, given: Mapping[str, Any], make: Callable[..., T]
) -> T | None:
    """Make an object of the row that a statement finds; None if it finds none. More than one row is an error."""
    result = connection.execute(statement, given)
    row = result.one_or_none()
    return None if row is None else make(**dict(zip(result.keys(), row, strict=True)))


def find_all(
    connection: Connection, statement: Executable, given: Mapping[str, Any], make: Callable[..., T]
) -> list[T]:
    """Make an object of each row that a statement finds."""
    result = connection.execute(statement, given)
    return [make(**dict(zip(result.keys(), row, strict=True))) for row in result]


def insert_if(model: type[DeclarativeBase], *conditions: ColumnElement[bool]) -> Insert:
    """An INSERT of one row, if the conditions hold. Its parameters are the column names with the prefix `new_`."""
    columns = model.__table__.columns
    row = select(*(bindparam(f"new_{column.key}", type_=column.type) for column in columns)).where(*conditions)
    return insert(model).from_select(columns.keys(), row)


def new_row(**columns: object) -> dict[str, object]:
    """The parameters of `insert_if`."""
    return {f"new_{name}": value for name, value in columns.items()}


def insert_unless_there(connection: Connection, model: type[DeclarativeBase], row: Mapping[str, Any]) -> bool:
    """Insert a row, unless another one has one of its unique keys. Returns whether it was inserted."""
    return connection.execute(_insert_unless_there(connection.dialect.name, model), row).rowcount == 1


def insert_by_engine(dialect: str, model: type[DeclarativeBase]) -> Any:
    """An INSERT that supports ON CONFLICT, for which SQLAlchemy has a class per dialect."""
    # Import only the dialect in use: importing the other one would slow down the start.
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(model)


@cache
def upsert(dialect: str, model: type[DeclarativeBase], column: str) -> Any:
    """An INSERT that, if a row has the same primary key, sets this column of it instead."""
    insertion = insert_by_engine(dialect, model)
    return insertion.on_conflict_do_update(
        index_elements=inspect(model).primary_key, set_={column: insertion.excluded[column]}
    )


@cache
def _insert_unless_there(dialect: str, model: type[DeclarativeBase]) -> Executable:
    statement: Executable = insert_by_engine(dialect, model).on_conflict_do_nothing()
    return statement

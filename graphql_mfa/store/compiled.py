"""Statements that SQLAlchemy compiles once, and that then run on the cursor of SQLite's driver.

SQLite needs some 10 microseconds for one of the store's statements; what SQLAlchemy does around each takes several
times as long.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Connection, Delete, Engine, Executable, Insert, Select, Update
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType

Processor = Callable[[Any], Any]

# Far more than there are. A purge builds its own each time, and they must not add up.
_MOST_STATEMENTS = 256


class CompiledConnection(Connection):
    """A connection to SQLite that runs what it can by its compiled form, and anything else as SQLAlchemy does."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._compiled = lru_cache(_MOST_STATEMENTS)(self._compile)

    @cached_property
    def driver(self) -> sqlite3.Connection:
        """The driver's own connection."""
        driver: sqlite3.Connection = self.connection.driver_connection  # type: ignore[assignment]
        return driver

    def execute(self, statement: Executable, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Run a statement, for one or for several sets of parameters."""
        # A log or a trace of statements is told of them by SQLAlchemy only.
        logged = self.engine.logger.isEnabledFor(logging.INFO)
        if not (logged or self.dispatch.before_cursor_execute or execution_options):
            several = isinstance(parameters, list)
            first = (parameters[0] if several else parameters) or {}
            compiled = self._compiled(statement, tuple(first))
            if compiled is not None:
                return self._run(compiled, parameters if several else [first])
        return super().execute(statement, parameters, execution_options=execution_options)

    def scalar(self, statement: Executable, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """The first column of the first row."""
        return self.execute(statement, parameters, execution_options=execution_options).scalar()

    def _compile(self, statement: Executable, names: tuple[str, ...]) -> "_Compiled | None":
        """The form for parameters of these names; None when SQLAlchemy has to see values, or does more than run it."""
        if not isinstance(statement, Select | Insert | Update | Delete):
            return None
        compiled = statement.compile(dialect=self.dialect, column_keys=list(names))
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - of all that is no DDL
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
        missing = any(bind.required and name not in names for name, bind in binds)
        adds_values = compiled.insert_prefetch or compiled.update_prefetch or compiled.implicit_returning
        if missing or adds_values or compiled.post_compile_params:
            return None
        types = [bind.type.dialect_impl(self.dialect) for _, bind in binds]
        columns = list(
            statement.selected_columns if isinstance(statement, Select) else compiled.effective_returning or ()
        )
        return _Compiled(
            text=str(compiled),
            constants={name: bind.effective_value for name, bind in binds if name not in names},
            parameters=[
                (name, _plain if isinstance(type_, NullType) else type_.bind_processor(self.dialect))
                for (name, _), type_ in zip(binds, types, strict=True)
            ],
            shape=SimpleResultMetaData([column.key or "" for column in columns]),
            columns=[column.type.dialect_impl(self.dialect).result_processor(self.dialect, None) for column in columns],
        )

    def _run(self, compiled: "_Compiled", rows: Sequence[Mapping[str, Any]]) -> "_Result":
        values = [compiled.values(row) for row in rows]
        cursor = self.driver.cursor()
        try:
            if len(values) == 1:
                cursor.execute(compiled.text, values[0])
            else:
                cursor.executemany(compiled.text, values)
            found = cursor.fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                compiled.text, values, error, sqlite3.Error, hide_parameters=True, dialect=self.dialect
            ) from error
        return _Result(compiled.shape, compiled.read(found), cursor.rowcount)


@dataclass(frozen=True)
class _Compiled:
    """What SQLAlchemy knows of a statement.

    constants: the values that are written in it. parameters, columns: in their order, with what makes the driver's
    value of ours, and ours of the driver's, where they differ.
    """

    text: str
    constants: Mapping[str, Any]
    parameters: Sequence[tuple[str, Processor | None]]
    shape: SimpleResultMetaData
    columns: Sequence[Processor | None]

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """What the driver gets for these parameters."""
        given = {**self.constants, **row} if self.constants else row
        return [process(given[name]) if process else given[name] for name, process in self.parameters]

    def read(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """What the driver found, as our values."""
        return [
            tuple([process(value) if process else value for process, value in zip(self.columns, row, strict=True)])
            for row in rows
        ]


def _plain(value: Any) -> Any:
    """A value of a parameter without a type, which the driver gets as it is: nothing that it stores in its own way.

    Raises TypeError.
    """
    if not isinstance(value, int | str | bytes | None):
        raise TypeError(f"A parameter needs a type to be a {type(value).__name__}.")
    return value


class _Result(IteratorResult[Any]):
    """All the rows at once, and how many were changed."""

    def __init__(self, shape: SimpleResultMetaData, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        super().__init__(shape, iter(rows))
        self.rowcount = rowcount

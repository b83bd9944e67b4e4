"""The statements that the store is asked, for counting and comparing them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

_ENDS = {"BEGIN IMMEDIATE", "COMMIT"}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Those that run inside, except for the ones that begin and end transactions; one over several rows is one."""
    seen: list[str] = []

    def see(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement not in _ENDS:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


@contextmanager
def changed_rows() -> Iterator[list[int]]:
    """How many rows each statement inside changes, without those that hang on them."""
    changed: list[int] = []

    def see(connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if not statement.startswith("SELECT"):
            changed.append(cursor.rowcount)

    event.listen(Engine, "after_cursor_execute", see)
    try:
        with statements():  # without it SQLite runs them past the event
            yield changed
    finally:
        event.remove(Engine, "after_cursor_execute", see)

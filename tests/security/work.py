"""The measurable work of a request: SQL statements and hashing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bcrypt as bcrypt_library
import pytest
from sqlalchemy import Connection, Engine, event


class Work:
    """The work of one request: SQL statements and rounds of bcrypt."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.rounds = 0


@contextmanager
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()
    hashpw = bcrypt_library.hashpw

    def count_hash(password: bytes, salt: bytes) -> bytes:
        work.rounds += 2 ** int(salt.split(b"$")[2])
        return hashpw(password, salt)

    def count_statement(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        work.statements.append(statement)

    event.listen(Engine, "before_cursor_execute", count_statement)
    with monkeypatch.context() as patch:
        patch.setattr(bcrypt_library, "hashpw", count_hash)
        yield work
    event.remove(Engine, "before_cursor_execute", count_statement)

"""What runs by its compiled form gives what SQLAlchemy gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, Select, bindparam, event, insert, select, text, update
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, OperationalError, StatementError

from graphql_mfa.store.compiled import CompiledConnection
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import User
from tests.conftest import sqlite_only
from tests.store import rows

pytestmark = sqlite_only

NAMED = select(User.id, User.username, User.created_at, User.mfa_enabled_at).where(
    User.username == bindparam("name"), User.otp_failures < 3
)
RENAME = update(User).where(User.username == bindparam("old")).values(username=bindparam("new"))
RENAME_AND_TELL = RENAME.returning(User.id)
IMPORT = insert(User)


@contextmanager
def watched() -> Iterator[list[str]]:
    """The statements that SQLAlchemy itself runs."""
    seen: list[str] = []

    def see(_: Connection, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


async def run_both_ways(database: Database, run: Callable[[Connection], Any]) -> list[Any]:
    """What it gives by its compiled form, and what by SQLAlchemy, each undone."""

    class UndoneError(Exception):
        pass

    given = []

    def undo(connection: Connection) -> None:
        assert isinstance(connection, CompiledConnection)
        given.append(run(connection))
        raise UndoneError

    with pytest.raises(UndoneError):
        await database.write(undo)
    with watched() as seen, pytest.raises(UndoneError):
        await database.write(undo)
    assert seen
    return given


@pytest.mark.parametrize(
    "run",
    [
        lambda connection: connection.execute(NAMED, {"name": "alice"}).one(),
        lambda connection: connection.execute(NAMED, {"name": "nobody"}).one_or_none(),
        lambda connection: connection.execute(NAMED, {"name": "alice"}).one()._asdict(),
        lambda connection: connection.scalar(NAMED, {"name": "alice"}),
        lambda connection: connection.scalar(NAMED, {"name": "nobody"}),
        lambda connection: connection.execute(RENAME, {"old": "alice", "new": "bob"}).rowcount,
        lambda connection: connection.execute(RENAME, {"old": "nobody", "new": "bob"}).rowcount,
        lambda connection: (
            connection.execute(RENAME, [{"old": "alice", "new": "bob"}, {"old": "bob", "new": "carol"}]).rowcount
        ),
        lambda connection: connection.execute(RENAME_AND_TELL, {"old": "alice", "new": "bob"}).all(),
        lambda connection: list(connection.scalars(select(User.username).order_by(User.username))),
        lambda connection: connection.execute(select(User.id).where(User.username.in_(["alice", "zoe"]))).all(),
        lambda connection: connection.execute(text("SELECT username FROM users WHERE otp_failures = 0")).all(),
    ],
)
async def test_the_compiled_form_gives_the_same(database: Database, run: Callable[[Connection], Any]) -> None:
    await database.write(lambda connection: [rows.add_user(connection, name) for name in ("alice", "zoe")])
    compiled, by_sqlalchemy = await run_both_ways(database, run)
    assert compiled == by_sqlalchemy


async def test_a_default_of_a_column_is_written(database: Database) -> None:
    row = {"id": uuid4(), "username": "alice", "username_key": "alice", "password_hash": "", "created_at": rows.NOW}
    await database.write(lambda connection: connection.execute(IMPORT, row))
    assert await database.read(lambda connection: connection.scalar(select(User.otp_failures))) == 0


async def test_several_parameter_sets_of_a_statement_keep_their_order(database: Database) -> None:
    def rename(given: dict[str, str], connection: Connection) -> None:
        connection.execute(RENAME, given)

    await database.write(rows.add_user)
    for given in ({"old": "alice", "new": "bob"}, {"new": "carol", "old": "bob"}):
        await database.write(partial(rename, given))
    assert await database.read(lambda connection: connection.scalar(select(User.username))) == "carol"


async def test_its_errors_are_sqlalchemys_and_show_no_values(database: Database) -> None:
    await database.write(rows.add_user)
    row = {"id": uuid4(), "username": "hunter2", "username_key": "alice", "password_hash": "", "created_at": rows.NOW}
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed") as error:
        await database.write(lambda connection: connection.execute(IMPORT, row | {"otp_failures": 0}))
    assert "hunter2" not in str(error.value)
    assert "parameters hidden" in str(error.value)


async def test_a_statement_that_the_database_does_not_understand_is_an_error_of_sqlalchemys(
    database: Database,
) -> None:
    with pytest.raises(OperationalError, match="no such table"):
        await database.write(lambda connection: connection.execute(select(text("1 FROM nowhere"))))


async def test_a_missing_parameter_is_an_error(database: Database) -> None:
    with pytest.raises(StatementError, match="required"):
        await database.read(lambda connection: connection.execute(NAMED, {}))


async def test_a_time_for_a_parameter_without_a_type_is_an_error(database: Database) -> None:
    """The driver would store it in a way of its own."""
    untyped: Select[Any] = select(bindparam("anything"))
    assert await database.read(lambda connection: connection.scalar(untyped, {"anything": 1})) == 1
    with pytest.raises(TypeError, match="datetime"):
        await database.read(lambda connection: connection.scalar(untyped, {"anything": rows.NOW}))


async def test_one_row_is_not_none_and_not_two(database: Database) -> None:
    await database.write(lambda connection: [rows.add_user(connection, name) for name in ("alice", "zoe")])
    everybody = select(User.id)
    with pytest.raises(MultipleResultsFound):
        await database.read(lambda connection: connection.execute(everybody).one_or_none())
    with pytest.raises(NoResultFound):
        await database.read(lambda connection: connection.execute(NAMED, {"name": "nobody"}).one())


async def test_who_looks_at_statements_sees_them_all(database: Database) -> None:
    await database.write(rows.add_user)
    with watched() as seen:
        await database.read(lambda connection: connection.execute(NAMED, {"name": "alice"}).one())
    assert len(seen) == 1

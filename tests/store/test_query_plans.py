"""No query on the path of a request, or of the purge beside it, goes through a whole table, however large that is."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from graphql_mfa import SecurityEvent
from graphql_mfa.flows.purge import purge
from graphql_mfa.store.models import Base
from tests.api.scenarios import SCENARIOS, RunApp
from tests.conftest import Connect, on_each_engine

pytestmark = on_each_engine

_SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
_ONE_ROW = "alembic_version"
_ROWS_OF_THE_STATEMENT = re.compile(r"SCAN ((\d+ )?CONSTANT ROWS?|anon_|\(subquery)")
ENTRIES = {f"{union}-{member}": scenario for (union, member), scenario in SCENARIOS.items()}


@contextmanager
def plans_of_all_queries() -> Iterator[dict[str, list[str]]]:
    """For each statement that runs inside: the tables that its plan goes through from one end to the other."""
    plans: dict[str, list[str]] = {}

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        is_query = statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and _ONE_ROW not in statement
        if is_query and statement not in plans:
            scans = _scans_on_sqlite if connection.dialect.name == "sqlite" else _scans_on_postgresql
            plans[statement] = scans(connection, statement, parameters[0] if executemany else parameters)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


def _scans_on_sqlite(connection: Connection, statement: str, parameters: Any) -> list[str]:
    cursor = connection.connection.cursor()
    cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [
        detail
        for *_, detail in cursor.fetchall()
        if detail.startswith("SCAN ") and not _ROWS_OF_THE_STATEMENT.match(detail)
    ]


def _scans_on_postgresql(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """With the tables of a test PostgreSQL would rather scan: so it says how it would do without, if it can."""
    cursor = connection.connection.cursor()
    cursor.execute("SET enable_seqscan = off")
    cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    ((plan,),) = cursor.fetchall()
    cursor.execute("RESET enable_seqscan")
    return list(_scanned((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] in _SCANS and "Index Cond" not in node:
        yield f"{node['Node Type']} {node.get('Relation Name') or node['Index Name']}"
    for inner in node.get("Plans", []):
        yield from _scanned(inner)


@pytest.mark.parametrize("entry", ENTRIES)
async def test_no_operation_scans_a_table(run_app: RunApp, connect: Connect, entry: str) -> None:
    scenario = ENTRIES[entry]
    async with run_app(**scenario.settings) as app:
        with plans_of_all_queries() as plans:
            await scenario.run(connect(app), app.state.services)
    assert {statement: scans for statement, scans in plans.items() if scans} == {}


async def test_neither_reading_the_user_nor_the_purge_scans_a_table(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        api = connect(app)
        member = await api.member()
        with plans_of_all_queries() as plans:
            assert await api.me(member.access_token) is not None
            await purge(app.state.services.database, app.state.services.settings, app.state.services.clock())
            assert (await api.http.get("/readyz")).status_code == 200
    assert len(plans) > len(Base.metadata.tables) / 2  # it does see something
    assert {statement: scans for statement, scans in plans.items() if scans} == {}


async def test_telling_others_of_events_scans_no_table(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.notifications._LOOK_ROWS", 1)  # so that some are held back
    left = ["REGISTERED", "ENROLLMENT_CONFIRMED", "SIGNED_IN"]
    over = asyncio.Event()

    async def on_event(event: SecurityEvent) -> None:
        left.remove(event.kind)
        if not left:
            over.set()

    with plans_of_all_queries() as plans:
        async with run_app(on_event=on_event) as app:
            await connect(app).member()
            await asyncio.wait_for(over.wait(), 20)
    statements = {verb for statement in plans if " outbox" in statement for verb in (statement.split()[0],)}
    assert statements == {"INSERT", "SELECT", "UPDATE", "DELETE"}
    assert {statement: scans for statement, scans in plans.items() if scans} == {}


async def test_the_check_sees_a_scan(run_app: RunApp) -> None:
    async with run_app() as app:
        with plans_of_all_queries() as plans:
            await app.state.services.database.read(
                lambda connection: connection.exec_driver_sql("SELECT id FROM users WHERE password_hash = ''")
            )
    assert [len(scans) for scans in plans.values()] == [1]


def test_what_hangs_on_a_row_is_found_by_an_index_when_the_row_goes() -> None:
    for table in Base.metadata.tables.values():
        leading = {next(iter(index.columns)).name for index in table.indexes} | {next(iter(table.primary_key)).name}
        assert {column.name for key in table.foreign_keys for column in [key.parent]} <= leading, table.name

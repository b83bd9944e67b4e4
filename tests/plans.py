"""The plans of the statements that the store runs."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

from graphql_mfa.store.migrations import VERSION_TABLE

_SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
_ROWS_OF_THE_STATEMENT = re.compile(r"SCAN ((\d+ )?CONSTANT ROWS?|anon_|\(subquery)")


@contextmanager
def full_scans() -> Iterator[dict[str, list[str]]]:
    """For each statement that runs inside: the tables that its plan scans."""
    plans: dict[str, list[str]] = {}

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        is_query = statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and VERSION_TABLE not in statement
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


def assert_no_scan(plans: dict[str, list[str]]) -> None:
    """Assert that no statement scans a whole table."""
    scanned = {statement: scans for statement, scans in plans.items() if scans}
    assert not scanned, scanned

"""No query of a purge, a delivery or the signed-in user scans a whole table.

Those of the mutations are checked in tests/api/test_union_coverage.py.
"""

import asyncio

from graphql_mfa import SecurityEvent
from graphql_mfa.flows.purging import purge
from graphql_mfa.store.models import Base
from tests.api.scenarios import RunApp
from tests.clock import WAIT
from tests.conftest import Connect, on_each_engine
from tests.plans import assert_no_scan, full_scans

pytestmark = on_each_engine


async def test_neither_reading_the_user_nor_the_purge_scans_a_table(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        api = connect(app)
        member = await api.member()
        with full_scans() as plans:
            assert await api.me(member.access_token) is not None
            await purge(app.state.services.database, app.state.services.settings, app.state.services.clock())
            assert (await api.http.get("/readyz")).status_code == 200
    assert len(plans) > len(Base.metadata.tables) / 2  # it does see something
    assert_no_scan(plans)


async def test_delivering_events_scans_no_table(run_app: RunApp, connect: Connect) -> None:
    left = ["REGISTERED", "ENROLLMENT_CONFIRMED", "SIGNED_IN"]
    over = asyncio.Event()

    async def on_event(event: SecurityEvent) -> None:
        left.remove(event.kind)
        if not left:
            over.set()

    with full_scans() as plans:
        async with run_app(on_event=on_event) as app:
            await connect(app).member()
            await asyncio.wait_for(over.wait(), WAIT)
    statements = {verb for statement in plans if " mfa_outbox" in statement for verb in (statement.split()[0],)}
    assert statements == {"INSERT", "SELECT", "UPDATE", "DELETE"}
    assert_no_scan(plans)


async def test_the_check_detects_a_scan(run_app: RunApp) -> None:
    async with run_app() as app:
        with full_scans() as plans:
            await app.state.services.database.read(
                lambda connection: connection.exec_driver_sql("SELECT id FROM mfa_users WHERE password_hash = ''")
            )
    assert [len(scans) for scans in plans.values()] == [1]


def test_dependent_rows_are_found_by_an_index_when_a_row_is_deleted() -> None:
    for table in Base.metadata.tables.values():
        leading = {next(iter(index.columns)).name for index in table.indexes} | {next(iter(table.primary_key)).name}
        assert {column.name for key in table.foreign_keys for column in [key.parent]} <= leading, table.name

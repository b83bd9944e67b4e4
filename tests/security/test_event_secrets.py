"""Attack: read the security events, which outlive what they tell of, and find a secret in them."""

import pytest
from sqlalchemy import select

from graphql_mfa.store.models import SecurityEvent
from tests import leaks
from tests.api.scenarios import SCENARIOS, RunApp
from tests.api_client import PASSWORD
from tests.conftest import KEY, Connect, sqlite_only

ENTRIES = {f"{union}-{member}": scenario for (union, member), scenario in SCENARIOS.items()}


@sqlite_only
@pytest.mark.parametrize("entry", ENTRIES)
async def test_secrets_in_the_events_of_an_operation(run_app: RunApp, connect: Connect, entry: str) -> None:
    scenario = ENTRIES[entry]
    before = len(leaks.remembered)
    async with run_app(**scenario.settings) as app:
        await scenario.run(connect(app), app.state.services)
        events = await app.state.services.database.read(
            lambda connection: connection.execute(select(SecurityEvent.__table__)).all()
        )
    texts = [str(value) for event in events for value in event]
    leaks.demand_none(texts, {KEY, PASSWORD, *leaks.remembered[before:]})


def test_secrets_are_found_where_there_are_any() -> None:
    with pytest.raises(AssertionError):
        leaks.demand_none(["a client that sent 123456 as its name"], {"123456"})

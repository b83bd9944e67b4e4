"""Every member of every result union can be reached, and what happens on the way keeps two promises of the store.

A new member needs an entry in scenarios.py.
"""

import json
from pathlib import Path

import httpx
import pytest
from graphql import (
    FieldNode,
    GraphQLUnionType,
    OperationDefinitionNode,
    build_schema,
    get_named_type,
    is_union_type,
    parse,
)
from sqlalchemy import select

from graphql_mfa.store.models import SecurityEventRow
from tests import leaks
from tests.api.scenarios import SCENARIOS, RunApp
from tests.api_client import PASSWORD
from tests.conftest import KEY, Connect, on_each_engine
from tests.plans import assert_no_scan, full_scans

pytestmark = on_each_engine

SCHEMA = build_schema((Path(__file__).parents[2] / "schema.graphql").read_text())
UNIONS = [type_ for type_ in SCHEMA.type_map.values() if isinstance(type_, GraphQLUnionType)]
MEMBERS = [(union.name, member.name) for union in UNIONS for member in union.types]


@pytest.mark.parametrize(("union", "member"), MEMBERS)
async def test_every_member_is_reachable_without_a_full_scan_or_a_secret_in_an_event(
    union: str,
    member: str,
    run_app: RunApp,
    connect: Connect,
) -> None:
    assert (union, member) in SCENARIOS, "write a scenario that reaches it"
    scenario = SCENARIOS[union, member]
    documents: list[str] = []

    async def remember(response: httpx.Response) -> None:
        await response.aread()
        documents.append(response.request.content.decode())

    secrets_before = len(leaks.remembered)
    async with run_app(**scenario.settings) as app:
        api = connect(app)
        api.http.event_hooks["response"] = [remember]
        with full_scans() as plans:
            result = await scenario.run(api, app.state.services)
        events = await app.state.services.database.read(
            lambda connection: connection.execute(select(SecurityEventRow.__table__)).all()
        )
    assert result["__typename"] == member
    assert _union_of(documents[-1]) == union
    assert_no_scan(plans)
    texts = [str(value) for event in events for value in event]
    leaks.assert_none(texts, {KEY, PASSWORD, *leaks.remembered[secrets_before:]})


def test_every_scenario_is_for_a_member_that_exists() -> None:
    assert set(SCENARIOS) <= set(MEMBERS)


def _union_of(body: str) -> str:
    """The union that the operation in a request's body answers with."""
    operation = parse(json.loads(body)["query"]).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    field = operation.selection_set.selections[0]
    assert isinstance(field, FieldNode)
    assert SCHEMA.mutation_type is not None
    union = get_named_type(SCHEMA.mutation_type.fields[field.name.value].type)
    assert is_union_type(union)
    return union.name

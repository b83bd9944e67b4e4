"""Attack: have one request list the sessions and the events again and again, through aliases."""

from uuid import UUID

import pytest
from sqlalchemy import Connection

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.services import Services
from tests.api_client import Api, Member
from tests.statements import statements
from tests.store import rows

LISTS = {
    "sessions": "sessions { id factors userAgent ipAddress }",
    "events": "securityEvents(first: 100) { id kind at ipAddress userAgent }",
}
TOO_MUCH = "This operation lists too much: at most 1000 sessions and security events."


async def member_with_much(api: Api, services: Services) -> Member:
    """A member with more sessions and events than are listed at a time."""
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])

    def add(connection: Connection) -> None:
        for _ in range(120):
            rows.add_session(connection, user_id, refreshed_at=api.clock())
            services.events.record(connection, user_id, api.clock(), None, SecurityEventKind.SIGNED_IN)

    await services.database.write(add)
    return member


@pytest.mark.parametrize("selection", LISTS.values(), ids=LISTS)
async def test_list_of_a_thousand_rows_by_aliases_is_as_long_as_it_gets(
    api: Api, services: Services, selection: str
) -> None:
    member = await member_with_much(api, services)
    ten, eleven = (
        f"{{ me {{ {' '.join(f'a{number}: {selection}' for number in range(count))} }} }}" for count in (10, 11)
    )
    me = await api.run(ten, token=member.access_token)
    assert [len(listed) for listed in me.values()] == [100] * 10
    refused = (await api.send(eleven, token=member.access_token)).json()
    assert refused["data"] == {"me": None}
    assert [error["message"] for error in refused["errors"]] == [TOO_MUCH]


@pytest.mark.parametrize("selection", LISTS.values(), ids=LISTS)
async def test_list_by_thirty_aliases_asks_thirty_times_and_answers_little(
    api: Api, services: Services, selection: str
) -> None:
    member = await member_with_much(api, services)
    document = f"{{ me {{ {' '.join(f'a{number}: {selection}' for number in range(30))} }} }}"
    with statements() as seen:
        response = await api.send(document, token=member.access_token)
    assert response.json()["data"] == {"me": None}
    assert len(response.content) < 1000
    assert len(seen) <= 31


async def test_list_by_a_thirty_first_alias_asks_nothing(api: Api) -> None:
    member = await api.member()
    document = f"{{ me {{ {' '.join(f'a{number}: sessions {{ id }}' for number in range(31))} }} }}"
    with statements() as seen:
        response = await api.send(document, token=member.access_token)
    assert "too many aliases" in response.json()["errors"][0]["message"]
    assert seen == []


async def test_list_of_somebody_with_few_sessions_is_as_often_as_aliases_allow(api: Api) -> None:
    member = await api.member()
    document = f"{{ me {{ {' '.join(f'a{number}: sessions {{ id }}' for number in range(30))} }} }}"
    me = await api.run(document, token=member.access_token)
    assert [len(listed) for listed in me.values()] == [1] * 30

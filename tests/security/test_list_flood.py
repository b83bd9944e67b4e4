"""Attack: have one request list the sessions and the events again and again, through aliases."""

from uuid import UUID

import pytest

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.services import OPERATOR, Services, Transaction
from tests.api_client import Api, Member
from tests.security.attacks import execute
from tests.statements import statements
from tests.store import rows

LISTS = {
    "sessions": "sessions { id factors userAgent ipAddress }",
    "events": "securityEvents(first: 100) { id kind at ipAddress userAgent }",
}
TOO_MUCH = "This operation lists too much: ask for fewer lists, rows or fields at once."


async def member_with_much(api: Api, services: Services) -> Member:
    """A member with more sessions and events than are listed at a time."""
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])

    def add(transaction: Transaction) -> None:
        for _ in range(120):
            rows.add_session(transaction.connection, user_id, refreshed_at=api.clock())
            transaction.record(user_id, SecurityEventKind.SIGNED_IN)

    await services.write(OPERATOR, add)
    return member


async def test_everything_on_an_account_page_fits_into_one_operation(api: Api, services: Services) -> None:
    """Every field of as many sessions and events as are listed, whose clients call themselves as long as they can."""
    member = await member_with_much(api, services)
    await execute(services, "UPDATE mfa_sessions SET user_agent = :text", text="x" * 255)
    await execute(services, "UPDATE mfa_security_events SET user_agent = :text", text="x" * 255)
    sessions = "sessions { id current createdAt lastUsedAt authenticatedAt factors userAgent ipAddress }"
    document = f"{{ me {{ id username {sessions} {LISTS['events']} totpDevices {{ id }} }} }}"
    me = await api.run(document, token=member.access_token)
    assert [len(me["sessions"]), len(me["securityEvents"])] == [100, 100]


async def test_lists_of_clients_with_long_names_are_shorter(api: Api, services: Services) -> None:
    """An answer that is not read stays in memory: 1000 rows of these took a megabyte."""
    member = await member_with_much(api, services)
    await execute(services, "UPDATE mfa_security_events SET user_agent = :text", text="\U0001f9a6" * 255)
    longest = 0
    for count in range(1, 11):
        lists = " ".join(f"a{number}: securityEvents(first: 100) {{ userAgent }}" for number in range(count))
        response = await api.send(f"{{ me {{ {lists} }} }}", token=member.access_token)
        longest = max(longest, len(response.content))
    assert 100_000 < longest < 900_000
    assert response.json()["errors"][0]["message"] == TOO_MUCH


@pytest.mark.parametrize("selection", LISTS.values(), ids=LISTS)
async def test_lists_of_one_operation_are_bounded_together(api: Api, services: Services, selection: str) -> None:
    member = await member_with_much(api, services)
    two, ten = (f"{{ me {{ {' '.join(f'a{number}: {selection}' for number in range(count))} }} }}" for count in (2, 10))
    me = await api.run(two, token=member.access_token)
    assert [len(listed) for listed in me.values()] == [100] * 2
    refused = (await api.send(ten, token=member.access_token)).json()
    assert refused["data"] == {"me": None}
    assert [error["message"] for error in refused["errors"]] == [TOO_MUCH]


@pytest.mark.parametrize("selection", LISTS.values(), ids=LISTS)
async def test_list_under_thirty_aliases_gets_a_small_response(api: Api, services: Services, selection: str) -> None:
    member = await member_with_much(api, services)
    document = f"{{ me {{ {' '.join(f'a{number}: {selection}' for number in range(30))} }} }}"
    with statements() as seen:
        response = await api.send(document, token=member.access_token)
    assert response.json()["data"] == {"me": None}
    assert len(response.content) < 1000
    assert len(seen) <= 31


async def test_list_under_thirty_one_aliases_runs_no_query(api: Api) -> None:
    member = await api.member()
    document = f"{{ me {{ {' '.join(f'a{number}: sessions {{ id }}' for number in range(31))} }} }}"
    with statements() as seen:
        response = await api.send(document, token=member.access_token)
    assert "too many aliases" in response.json()["errors"][0]["message"]
    assert seen == []


async def test_short_list_under_every_allowed_alias_is_returned(api: Api) -> None:
    member = await api.member()
    document = f"{{ me {{ {' '.join(f'a{number}: sessions {{ id }}' for number in range(30))} }} }}"
    me = await api.run(document, token=member.access_token)
    assert [len(listed) for listed in me.values()] == [1] * 30

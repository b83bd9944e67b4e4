"""Attack: resolve an expensive field as often as one document allows, by aliases."""

import threading
from typing import Any

import pytest
import segno

from graphql_mfa.services import Services
from tests.api_client import PASSWORD, Api
from tests.http.requests import function_calls
from tests.security.test_list_flood import member_with_much
from tests.statements import statements

LISTS = {
    "few lists of many rows": " ".join(
        f"a{number}: sessions {{ id current createdAt lastUsedAt authenticatedAt factors userAgent ipAddress }}"
        for number in range(9)
    ),
    "few lists of many aliases": "sessions { "
    + " ".join(f"a{number}: userAgent" for number in range(30))
    + " } securityEvents(first: 100) { id kind at ipAddress userAgent }",
    "many lists": " ".join(f"a{number}: securityEvents(first: 1) {{ id }}" for number in range(30)),
    "many lists of apps": " ".join(f"a{number}: totpDevices {{ id name confirmed }}" for number in range(30)),
    "fields of fragments": "sessions { ...A ...B } securityEvents(first: 100) { ...C }",
}
FRAGMENTS = " ".join(
    f"fragment {name} on {type_} {{ {' '.join(f'{name}{number}: {field}' for number in range(10))} }}"
    for name, type_, field in [
        ("A", "Session", "userAgent"),
        ("B", "Session", "createdAt"),
        ("C", "SecurityEvent", "at"),
    ]
)


async def test_qr_code_under_thirty_aliases_is_drawn_once_in_a_thread(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[threading.Thread] = []
    make = segno.make

    def drawing(*args: Any, **kwargs: Any) -> Any:
        drawn.append(threading.current_thread())
        return make(*args, **kwargs)

    monkeypatch.setattr(segno, "make", drawing)
    codes = " ".join(f"a{number}: qrCode" for number in range(30))
    document = (
        "mutation ($input: RegisterUserInput!) { registerUser(input: $input) { ... on RegisterUserSuccess "
        f"{{ enrollment {{ {codes} }} }} }} }}"
    )

    answer = await api.run(document, {"input": {"username": "alice", "password": PASSWORD}})

    assert len(drawn) == 1
    assert drawn[0] is not threading.current_thread()
    assert len(answer["enrollment"]) == 30
    assert len(set(answer["enrollment"].values())) == 1
    assert answer["enrollment"]["a0"].startswith("data:image/svg+xml")


@pytest.mark.parametrize("selection", LISTS.values(), ids=LISTS)
async def test_lists_under_aliases_do_not_block_the_event_loop(api: Api, services: Services, selection: str) -> None:
    """A statement for each of 32 lists at most, and no more rows and fields than one page shows."""
    member = await member_with_much(api, services)
    await api.run("{ me { sessions { id } } }", token=member.access_token)
    document = f"{{ me {{ {selection} }} }} {FRAGMENTS if '...' in selection else ''}"

    with statements() as seen, function_calls():
        response = await api.send(document, token=member.access_token)

    assert response.status_code == 200
    assert "Internal server error." not in response.text
    assert len(seen) <= 33
    assert len(response.content) < 700_000


async def test_the_lists_of_ten_root_fields_are_counted_together(api: Api, services: Services) -> None:
    member = await member_with_much(api, services)
    lists = "id totpDevices { id } sessions { id } securityEvents(first: 1) { id }"
    document = f"{{ {' '.join(f'a{number}: me {{ {lists} b: totpDevices {{ id }} }}' for number in range(10))} }}"

    with statements() as seen, function_calls():
        response = await api.send(document, token=member.access_token)

    assert "lists too much" in response.json()["errors"][0]["message"]
    assert len(seen) <= 41

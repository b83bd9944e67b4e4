"""The application that embeds graphql_mfa, as a server of its own."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Server

FOLDER = Path(__file__).parents[3] / "examples" / "embedded"
INVITATION = {"X-Invitation": "welcome-7"}


class Notebook(Server):
    """uvicorn, as the example says to start it."""

    command = (sys.executable, "-m", "uvicorn", "--app-dir", str(FOLDER), "app:app", "--port", "0")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = Notebook(tmp_path).start()
    yield server.url
    server.stop()


async def sign_in(api: Api) -> Result:
    """The tokens of an account that was registered by invitation."""
    registered = await api.register()
    assert registered["__typename"] == "RegisterUserSuccess", registered
    confirmed = await api.verify_otp(
        registered["challenge"], code_at(registered["enrollment"]["secret"], datetime.now(UTC))
    )
    tokens: Result = confirmed["tokens"]
    return tokens


async def test_the_example_registers_by_invitation_and_stores_notes_of_the_user(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        api = Api(http, Clock(), path="/api/graphql")
        assert (await api.register())["message"].startswith("Registration is by invitation")
        http.headers.update(INVITATION)
        tokens = await sign_in(api)
        assert (await api.register("bob"))["__typename"] == "RegistrationRefused"  # it was used

        stranger = (await api.send("{ notes }")).json()
        assert stranger["data"] is None
        assert stranger["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert (await http.get("/notes.txt")).status_code == 401

        http.headers["Authorization"] = f"Bearer {tokens['accessToken']}"
        added = await api.send('mutation { addNote(text: "milk") }')
        assert added.json() == {"data": {"addNote": ["milk"]}}
        assert (await api.send("{ notes me { username } }")).json() == {
            "data": {"notes": ["milk"], "me": {"username": "alice"}}
        }
        assert (await http.get("/notes.txt")).text == "milk"
        assert (await api.send("mutation { deleteNotes }")).json() == {"data": {"deleteNotes": 1}}
        assert (await http.delete("/notes")).json() == 0

"""The Python example, run as its README says."""

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from graphql_mfa.core.keys import Key
from tests.authenticator import code_at
from tests.conftest import KEY, Server

EXAMPLE = Path(__file__).parents[3] / "examples" / "python"


def run(script: str, *arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the example's scripts; a warning fails it."""
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE / script, *arguments],
        env=os.environ | environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def session(live_server: str) -> Any:
    """A session of the example's client."""
    return runpy.run_path(str(EXAMPLE / "client.py"))["Session"](f"{live_server}/graphql")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server whose key the tests know, and which is closed to strangers."""
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, GRAPHQL_MFA_SECRET_KEYS=KEY, GRAPHQL_MFA_REGISTRATION_OPEN="false").start()
    yield server.url
    server.stop()


def test_the_example_signs_in_and_refreshes(live_server: str) -> None:
    ran = run("sign_in.py", f"{live_server}/graphql")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "got 10 recovery codes" in ran.stdout
    assert "who has 9 recovery codes.\nLogged out.\n" in ran.stdout


def test_the_example_takes_the_url_from_the_environment_too(server: str) -> None:
    ran = run("sign_in.py", API=f"{server}/graphql")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "registration" in ran.stderr.lower()


def test_the_example_fails_where_something_else_answers(live_server: str) -> None:
    ran = run("sign_in.py", f"{live_server}/healthz")
    assert ran.returncode == 1
    assert "/healthz gave no answer" in ran.stderr


def test_the_example_waits_for_the_next_code_when_one_was_used(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    device, challenge = session.register("the example's user", "four-otters-row-upstream")
    now = datetime.now(UTC)
    used, following = code_at(device.secret, now), code_at(device.secret, now, 1)
    codes = iter([used, used, following])
    forgetful = SimpleNamespace(now=lambda: next(codes))
    assert len(session.verify_otp(challenge, forgetful)) == 10
    session.log_out()
    assert session.verify_otp(session.log_in("the example's user", "four-otters-row-upstream"), forgetful) == []
    assert session.me()["username"] == "the example's user"
    (seconds,) = waited
    assert 0 < seconds <= 60


def test_the_example_repeats_a_refresh_whose_answer_was_lost(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device, challenge = session.register("a user on a train", "four-otters-row-upstream")
    session.verify_otp(challenge, device)
    session.tokens["accessToken"] = "too old"
    execute, sent = session.client.execute, []

    def lose_the_first_refresh(request: Any, **arguments: Any) -> Any:
        answer = execute(request, **arguments)
        if request.operation_name == "Refresh":
            sent.append(request.variable_values)
            if len(sent) == 1:
                raise ConnectionError
        return answer

    monkeypatch.setattr(session.client, "execute", lose_the_first_refresh)
    with pytest.raises(ConnectionError):
        session.me()
    assert session.me()["username"] == "a user on a train"
    session.tokens["accessToken"] = "too old"
    assert session.me()["username"] == "a user on a train"
    first, repeated, following = sent
    assert first == repeated
    assert len({first["retryKey"], following["retryKey"], ""}) == 3


def test_another_service_accepts_an_access_token(session: Any, live_server: str) -> None:
    device, challenge = session.register("a service's user", "four-otters-row-upstream")
    session.verify_otp(challenge, device)
    ran = run("verify_access_token.py", live_server, given=session.tokens["accessToken"])
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"iss": "graphql-mfa"' in ran.stdout


GOOD = {"iss": "graphql-mfa", "aud": "graphql-mfa", "sub": "a user", "sid": "a session"}


def signed(claims: dict[str, str], *, typ: str = "at+jwt", seconds: int = 600) -> str:
    """A token that the server's own key signed."""
    key = Key.parse(KEY)
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return jwt.encode(claims | {"exp": expires_at}, key.signing, "EdDSA", {"typ": typ, "kid": key.id.hex()})


def test_another_service_accepts_an_access_token_signed_with_es256(server: str) -> None:
    key = Key.parse(KEY)
    headers = {"typ": "at+jwt", "kid": f"{key.id.hex()}-ES256"}
    token = jwt.encode(GOOD | {"exp": datetime.now(UTC) + timedelta(minutes=1)}, key.signing_p256, "ES256", headers)
    ran = run("verify_access_token.py", server, given=token)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_another_service_refuses_other_tokens(server: str) -> None:
    assert run("verify_access_token.py", server, given=signed(GOOD)).returncode == 0
    for token, reason in (
        (signed(GOOD, typ="JWT"), "no access token"),
        (signed(GOOD, seconds=-1), "expired"),
        (signed(GOOD | {"iss": "another"}), "Invalid issuer"),
        (signed(GOOD | {"aud": "another"}), "Audience"),
        (signed({name: GOOD[name] for name in ("iss", "aud", "sub")}), 'missing the "sid"'),
        (signed(GOOD)[:-9] + "AAAAAAAAA", "Signature"),
        ("nonsense", "segments"),
    ):
        ran = run("verify_access_token.py", server, given=token)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert reason in ran.stderr
        assert ran.stderr.startswith("Refused: ")

"""An attacker who waits for a restart, or for the store to falter, to be counted anew."""

from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from graphql_mfa.store import throttles
from tests.api_client import LOGIN, PASSWORD, Api
from tests.conftest import Server
from tests.security.attacks import real_api


async def test_throttle_reset_by_a_restart(tmp_path: Path) -> None:
    for wrong_passwords, outcomes in ((10, {"InvalidCredentials"}), (3, {"RateLimited"})):
        server = Server(tmp_path, GRAPHQL_MFA_LOGIN_ADDRESS_ATTEMPTS="10/10m").start()
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
            api = real_api(http)
            if wrong_passwords == 10:
                assert (await api.register())["__typename"] == "RegisterUserSuccess"
            answers = [await api.login(password="wrong") for _ in range(wrong_passwords)]
        server.kill()
        assert {answer["__typename"] for answer in answers} == outcomes


async def test_throttle_that_can_not_count_refuses_sign_ins(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails closed: even the right password is not compared."""
    await api.member()

    def falter(*_: object) -> NoReturn:
        raise OperationalError("UPDATE mfa_throttles", {}, Exception())

    monkeypatch.setattr(throttles, "reserve_first", falter)
    answer = (await api.send(LOGIN, {"input": {"username": "alice", "password": PASSWORD}})).json()

    assert answer["data"] is None
    assert answer["errors"][0]["message"] == "Internal server error."

"""The own API of docs/clients.md, which verifies access tokens with jose in Node.js."""

from datetime import timedelta
from pathlib import Path

import httpx

from tests.conftest import KEY, Server
from tests.ports import reserved_port
from tests.security.attacks import real_api, real_member
from tests.slow.snippets import access_token, own_api

INVALID_TOKEN = 'Bearer error="invalid_token"'


async def my_id(url: str, authorization: str | None = None) -> httpx.Response:
    """What the API answers: who the caller is, or its refusal."""
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(timeout=60) as http:
        return await http.post(url, json={"query": "{ myId }"}, headers=headers)


async def test_an_own_api_accepts_a_valid_token_and_refuses_an_expired_or_foreign_one(tmp_path: Path) -> None:
    expired, foreign = access_token(age=timedelta(hours=1)), access_token(audience="another")
    server = Server(tmp_path, GRAPHQL_MFA_SECRET_KEYS=KEY).start()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            member = await real_member(real_api(http), "alice")
        with own_api(tmp_path, server.url) as url:
            accepted = await my_id(url, f"Bearer {member.access_token}")
            assert accepted.json() == {"data": {"myId": member.session["user"]["id"]}}
            assert (await my_id(url, f"Bearer {access_token()}")).is_success
            for token in (expired, foreign, member.access_token[:-4] + "AAAA", "no-token"):
                refused = await my_id(url, f"Bearer {token}")
                assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, INVALID_TOKEN)
            for authorization in (None, "Basic YTpi"):
                refused = await my_id(url, authorization)
                assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    finally:
        server.stop()


async def test_an_own_api_does_not_blame_the_token_while_the_keys_are_unavailable(tmp_path: Path) -> None:
    with reserved_port() as port, own_api(tmp_path, f"http://127.0.0.1:{port}") as url:
        answer = await my_id(url, f"Bearer {access_token()}")
    assert answer.status_code == 500
    assert "WWW-Authenticate" not in answer.headers

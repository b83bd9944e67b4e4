"""The example of docs/embedding.md for claims in access tokens, as it stands there."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from fastapi import FastAPI

from graphql_mfa import GraphQLMFA
from tests.conftest import KEY
from tests.security.attacks import real_api, real_member

PAGE = (Path(__file__).parents[3] / "docs" / "embedding.md").read_text()


class Directory:
    """The host's data about its users."""

    async def find(self, user_id: UUID) -> SimpleNamespace:
        return SimpleNamespace(roles=["editor"], tenant=f"tenant of {user_id}")


async def test_the_example_puts_roles_and_tenant_into_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/test.db")
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS", KEY)
    (code,) = re.findall(r"```python\n(from graphql_mfa import ClaimsRequest, GraphQLMFA\n.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"directory": Directory()}
    exec(code, names)
    mfa: GraphQLMFA = names["mfa"]
    app = FastAPI(lifespan=mfa.lifespan)
    app.include_router(mfa.router())
    async with app.router.lifespan_context(app):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")
        member = await real_member(real_api(http), "alice")
        user_id = member.session["user"]["id"]
    claims = jwt.decode(member.access_token, options={"verify_signature": False})
    assert (claims["roles"], claims["tenant"]) == (["editor"], f"tenant of {user_id}")

"""The example of docs/embedding.md for security events, as it stands there."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from graphql_mfa import GraphQLMFA
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.services import OPERATOR, Transaction
from graphql_mfa.store import accounts
from tests.clock import WAIT
from tests.conftest import KEY
from tests.store import rows

PAGE = (Path(__file__).parents[3] / "docs" / "embedding.md").read_text()


async def test_the_example_mails_important_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/test.db")
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS", KEY)
    mails: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def send_mail(to: str, text: str) -> None:
        mails.put_nowait((to, text))

    (code,) = re.findall(r"```python\n(from graphql_mfa import GraphQLMFA, SecurityEvent\n.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"send_mail": send_mail}
    exec(code, names)
    mfa: GraphQLMFA = names["mfa"]
    kinds = [SecurityEventKind.SIGNED_IN, SecurityEventKind.PASSWORD_CHANGED]
    async with mfa.lifespan():
        user = await mfa.services.database.write(rows.add_user)
        await mfa.services.database.write(
            lambda connection: Transaction(connection, mfa.services, OPERATOR, rows.NOW).record(user, *kinds)
        )
        mail = await asyncio.wait_for(mails.get(), WAIT)
        assert (await mfa.services.database.read(lambda connection: accounts.find(connection, user))).username == mail[
            0
        ]
    assert mail == ("alice", "PASSWORD_CHANGED at 00:00 from None")
    assert mails.empty()

"""An application with passkeys whose limits no number of examples reaches."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest
from fastapi import FastAPI

from graphql_mfa.core.throttling import Limit, Rate
from graphql_mfa.flows import limits, sign_in
from tests.passkeys import PASSKEYS
from tests.slow.fuzz.limits import MANY, NO_LIMITS


@pytest.fixture(autouse=True)
def no_constant_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for limits that no setting changes."""
    for name in ("_RECOVERY_CODES", "_ENROLLMENT_RESTARTS", "_PASSKEY_SIGN_INS"):
        monkeypatch.setattr(limits, name, Rate.parse(f"{MANY}/1d"))
    monkeypatch.setattr(sign_in, "_OPEN_CHALLENGES", MANY)
    monkeypatch.setattr(limits, "CHALLENGE_ATTEMPTS", MANY)
    monkeypatch.setattr(limits, "OTP_FAILURES_BEFORE_BACKOFF", MANY)
    monkeypatch.setattr(limits, "SESSION_REFRESHES", Limit(MANY, timedelta(days=1)))


@pytest.fixture
async def app(run_app: Callable[..., AbstractAsyncContextManager[FastAPI]]) -> AsyncIterator[FastAPI]:
    async with run_app(**NO_LIMITS, **PASSKEYS) as app:
        yield app

"""An application whose limits no number of examples reaches."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from tests.slow.fuzz.limits import NO_LIMITS


@pytest.fixture
async def app(run_app: Callable[..., AbstractAsyncContextManager[FastAPI]]) -> AsyncIterator[FastAPI]:
    async with run_app(**NO_LIMITS) as app:
        yield app

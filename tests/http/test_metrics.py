"""What /metrics counts, who may read it, and that no client's value becomes a label."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Annotated, NoReturn

import httpx
import prometheus_client
import pytest
import strawberry
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from strawberry.tools import merge_types

import graphql_mfa
import graphql_mfa.api.sign_in
from graphql_mfa import GraphQLMFA, Settings
from graphql_mfa.services import Services
from graphql_mfa.store.database import Database
from tests.api_client import LOGIN, PASSWORD, Api
from tests.clock import Clock
from tests.conftest import Connect, sqlite_only
from tests.http.requests import operation, post
from tests.metrics import Scrape
from tests.security.attacks import WRONG_PASSWORD
from tests.slots import slots_taken

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
FAIL_SAFE_SECONDS = 60
TOKEN = "a-token-for-the-metrics"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """The default registry of this test."""
    registry = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    return registry


@pytest.fixture
async def app(registry: CollectorRegistry, run_app: RunApp) -> AsyncIterator[FastAPI]:
    async with run_app(metrics_token=TOKEN, hashing_slots=2) as app:
        yield app


@pytest.fixture
def go_on(app: FastAPI) -> Iterator[threading.Event]:
    """An event that threads of `app` wait for; it is set at the end of a failing test, too."""
    event = threading.Event()
    yield event
    event.set()


async def get(api: Api, authorization: str | None = f"Bearer {TOKEN}") -> httpx.Response:
    return await api.http.get("/metrics", headers={"Authorization": authorization} if authorization else {})


async def scrape(api: Api) -> Scrape:
    response = await get(api)
    assert response.status_code == 200
    return Scrape(response.text)


def transactions_are_shown(scraped: Scrape) -> bool:
    """Whether one transaction runs and another one waits."""
    return all(scraped("database_transactions", state=state) == 1 for state in ("waiting", "running"))


async def scrape_until(api: Api, enough: Callable[[Scrape], object]) -> Scrape:
    async with asyncio.timeout(FAIL_SAFE_SECONDS):
        while not enough(scraped := await scrape(api)):
            pass
    return scraped


# ----------------------------------------------------------------------------------------------------- who may read it


async def test_metrics_are_refused_without_the_token(api: Api, subtests: pytest.Subtests) -> None:
    for authorization in [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \u00e4",
    ]:
        with subtests.test(authorization=authorization):
            headers = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
            response = await api.http.get("/metrics", headers=headers)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert "graphql_mfa" not in response.text


async def test_metrics_are_shown_with_the_token_and_not_cacheable(api: Api) -> None:
    response = await get(api)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert response.headers["Cache-Control"] == "no-store"


async def test_an_access_token_shows_no_metrics(api: Api) -> None:
    member = await api.member()
    assert (await get(api, f"Bearer {member.access_token}")).status_code == 401


async def test_without_a_token_in_the_settings_there_is_no_metrics_endpoint(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        assert (await get(connect(app))).status_code == 404


async def test_with_a_separate_metrics_port_there_is_no_metrics_endpoint_beside_the_api(
    registry: CollectorRegistry, run_app: RunApp, connect: Connect
) -> None:
    async with run_app(metrics_port=9464) as app:
        assert (await get(connect(app))).status_code == 404


def test_a_short_metrics_token_is_refused(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ValueError, match="metrics_token"):
        make_settings(metrics_token="x" * 15)


@pytest.mark.parametrize(("arguments", "loaded"), [("", False), (f"metrics_token={TOKEN!r}", True)])
def test_prometheus_client_is_loaded_for_metrics_only(arguments: str, loaded: bool) -> None:
    code = f"from graphql_mfa import Settings, create_app; create_app(Settings({arguments}))"
    code += "; import sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("prometheus_client" in ran.stdout.split()) is loaded


# ---------------------------------------------------------------------------------------------------------- counters


async def test_every_outcome_is_counted_by_field_and_member(api: Api) -> None:
    await api.member()
    await api.login(password=WRONG_PASSWORD)
    await api.login()
    await api.login()

    scraped = await scrape(api)
    assert scraped("outcomes_total", field="registerUser", outcome="RegisterUserSuccess") == 1
    assert scraped("outcomes_total", field="verifyOtp", outcome="EnrollmentConfirmed") == 1
    assert scraped("outcomes_total", field="login", outcome="InvalidCredentials") == 1
    assert scraped("outcomes_total", field="login", outcome="OtpRequired") == 2
    assert len(scraped.labels("outcomes_total")) == 4


async def test_requests_are_counted_by_status_and_timed_by_operation(api: Api) -> None:
    await api.login()
    await api.me(None)
    await post(api, b"{")
    await api.http.put("/graphql")

    scraped = await scrape(api)
    assert {labels["status"] for labels in scraped.labels("responses_total")} == {"200", "400", "405"}
    assert scraped("responses_total", status="200") == 2
    for name, count in (("login", 1), ("query", 1), ("none", 2)):
        assert scraped("request_seconds_count", operation=name) == count
    assert scraped("request_seconds_sum", operation="login") > 0
    assert scraped("requests_in_flight") == 0


async def test_nothing_that_a_client_chooses_becomes_a_label(api: Api) -> None:
    await post(api, operation("mutation Zebra { zebra: logout { zebra: __typename } }"))
    await post(api, operation("query Zebra { zebra: policy { issuer } }"))
    await post(api, operation("{ zebra }", operationName="zebra"))
    await api.login("zebra", "zebra zebra zebra")
    await api.http.request("ZEBRA", "/graphql")
    await api.http.get("/zebra")

    response = await get(api)
    assert "zebra" not in response.text.lower()
    assert Scrape(response.text)("outcomes_total", field="logout", outcome="NotAuthenticated") == 1


async def test_a_masked_error_is_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)
    await api.send(LOGIN, {"input": {"username": "alice", "password": PASSWORD}})
    assert (await scrape(api))("unexpected_errors_total") == 1


async def test_a_request_that_fails_outside_of_an_operation_is_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr("graphql_mfa.http.router.read_operation", broken)
    await post(api, operation())
    scraped = await scrape(api)
    assert (scraped("unexpected_errors_total"), scraped("responses_total", status="500")) == (1, 1)


@sqlite_only  # on PostgreSQL a transaction runs in the event loop, so the test could not block it
async def test_requests_in_flight_slots_threads_and_transactions_are_gauges(
    api: Api, services: Services, go_on: threading.Event
) -> None:
    hashing = asyncio.create_task(services.hashing.run(go_on.wait))
    writing = asyncio.create_task(services.database.write(lambda _: go_on.wait()))
    async with slots_taken(services.hashing, "10.0.0.2"):
        login = asyncio.create_task(api.login())
        await scrape_until(api, transactions_are_shown)
        async with services.hashing.slot("10.0.0.3"):
            pass  # both are taken
        scraped = await scrape_until(api, lambda scraped: scraped("hashing_threads_busy"))
        assert scraped("requests_in_flight") == 1
        assert scraped("hashing_places_taken") == 2
        assert scraped("hashing_refused_total") == 1
        go_on.set()
        await asyncio.gather(hashing, writing, login)
    scraped = await scrape(api)
    for gauge in ("requests_in_flight", "hashing_places_taken", "hashing_threads_busy"):
        assert scraped(gauge) == 0
    for state in ("waiting", "running"):
        assert scraped("database_transactions", state=state) == 0
    assert scraped("hashing_seconds_count") == 2


async def test_transactions_are_timed_and_failures_counted(api: Api, services: Services) -> None:
    before = await scrape(api)
    await services.database.read(lambda _: None)
    await services.database.write(lambda _: None)
    with pytest.raises(ZeroDivisionError):
        await services.database.write(lambda _: 1 / 0)

    scraped = await scrape(api)
    for kind, count in (("read", 1), ("write", 2)):
        for name in ("database_wait_seconds_count", "database_transaction_seconds_count"):
            assert scraped(name, kind=kind) - before(name, kind=kind) == count
    assert scraped("database_failures_total", kind="write") == 1
    assert scraped("database_failures_total", kind="read") == 0


async def test_a_rollback_before_the_hosts_function_is_not_counted_as_a_failure(
    registry: CollectorRegistry, run_app: RunApp, connect: Connect
) -> None:
    async with run_app(metrics_token=TOKEN, claims=lambda _: {"role": "admin"}) as app:
        api = connect(app)
        await api.member()
        scraped = await scrape(api)
    assert scraped("database_failures_total", kind="write") == 0
    assert scraped("unexpected_errors_total") == 0


@sqlite_only
async def test_a_transaction_counts_as_running_until_its_caller_is_cancelled(
    api: Api, services: Services, go_on: threading.Event
) -> None:
    tasks = [asyncio.create_task(services.database.write(lambda _: go_on.wait())) for _ in range(2)]
    await scrape_until(api, transactions_are_shown)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    scraped = await scrape(api)
    for state in ("waiting", "running"):
        assert scraped("database_transactions", state=state) == 0


async def test_a_purge_counts_deleted_rows_and_sets_its_time(
    registry: CollectorRegistry, run_app: RunApp, connect: Connect, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(metrics_token=TOKEN) as app:
        await connect(app).register()
    clock.advance(timedelta(days=2).total_seconds())
    monkeypatch.setattr("graphql_mfa.mfa.random.uniform", lambda *_: 0)
    async with run_app(metrics_token=TOKEN) as app:
        api = connect(app)
        scraped = await scrape_until(api, lambda scraped: scraped("purge_last_success_timestamp_seconds"))
        assert scraped("purged_rows_total", table="users") == 1
        assert scraped("purge_last_success_timestamp_seconds") == clock().timestamp()

        def broken(*_: object) -> NoReturn:
            raise OSError

        monkeypatch.setattr(Database, "write", broken)
        await scrape_until(api, lambda scraped: scraped("purge_failures_total"))


async def test_every_label_has_a_bounded_set_of_values(api: Api) -> None:
    await api.member()
    scraped = await scrape(api)
    labels = {label for family in scraped.families.values() for sample in family.samples for label in sample.labels}
    assert labels == {"version", "python", "status", "operation", "field", "outcome", "state", "kind", "le"}


@strawberry.type
class Sent:
    id: str


@strawberry.type
class Lost:
    why: str


@strawberry.type
class HostMutation:
    @strawberry.mutation(graphql_type=Annotated[Sent | Lost, strawberry.union("SendResult")])
    async def send(self, lose: bool = False) -> Sent | Lost:
        return Lost(why="rain") if lose else Sent(id="1")


async def test_a_hosts_outcomes_are_counted_in_the_registry_that_it_passes(
    make_settings: Callable[..., Settings], connect: Connect
) -> None:
    registry = CollectorRegistry()
    mutation = merge_types("Mutation", (graphql_mfa.Mutation, HostMutation))
    mfa = GraphQLMFA(make_settings(), mutation=mutation, metrics=registry)
    app = FastAPI(lifespan=mfa.lifespan, telemetry={"tracing": False})
    app.include_router(mfa.router())
    async with app.router.lifespan_context(app):
        api = connect(app)
        await api.run("mutation { one: send { __typename } }")
        await api.run("mutation { send(lose: true) { ... on Lost { why } } }")
        await api.login()

    scraped = Scrape(prometheus_client.generate_latest(registry).decode())
    assert scraped("outcomes_total", field="send", outcome="Sent") == 1
    assert scraped("outcomes_total", field="send", outcome="Lost") == 1
    assert scraped("outcomes_total", field="login", outcome="InvalidCredentials") == 1


async def test_two_deployments_of_a_process_can_share_a_registry(
    make_settings: Callable[..., Settings], connect: Connect
) -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        mfa = GraphQLMFA(make_settings(), metrics=registry)
        app = FastAPI(lifespan=mfa.lifespan, telemetry={"tracing": False})
        app.include_router(mfa.router())
        async with app.router.lifespan_context(app):
            await connect(app).me(None)
    assert Scrape(prometheus_client.generate_latest(registry).decode())("responses_total", status="200") == 2

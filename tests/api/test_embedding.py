"""graphql_mfa as a part of a host's own FastAPI application and schema."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NewType

import httpx
import pytest
import strawberry
from fastapi import Depends, FastAPI
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.tools import merge_types

import graphql_mfa
from graphql_mfa import Authenticated, GraphQLMFA, PublicError, Registration, Settings, SignedIn
from graphql_mfa.services import Client
from tests.api_client import PASSWORD, REGISTER_USER, Api
from tests.clock import Clock
from tests.devices import confirmed, first_device, remove
from tests.http.requests import assert_quiet, messages

PATH = "/app/api/graphql"


def _loud(value: object) -> str:
    raise GraphQLError(f"{value!r} is no color")


Color = NewType("Color", str)


@strawberry.type
class HostQuery:
    @strawberry.field
    async def mix(self, color: Color) -> str:
        return str(color)

    @strawberry.field(extensions=[SignedIn()])
    async def name(self, info: strawberry.Info) -> str:
        session: Authenticated = info.context.session
        return session.account.username

    @strawberry.field(extensions=[SignedIn(max_age=300)])
    async def secret(self) -> str:
        return "42"

    @strawberry.field(extensions=[SignedIn()])
    async def search(self, source: str, next_: str) -> str:
        return source + next_

    @strawberry.field
    async def agent(self, info: strawberry.Info) -> str:
        return str(info.context.request.headers["user-agent"])

    @strawberry.field
    async def closing(self) -> str:
        raise PublicError("Closed on Sundays.", extensions={"code": "CLOSED"})

    @strawberry.field
    async def broken(self) -> str:
        raise GraphQLError("".join(["hunter", "2"]))


@strawberry.type
class HostMutation:
    @strawberry.mutation
    async def forget(self) -> bool:
        return True


class Watching(SchemaExtension):
    """Records each step of an operation, and whether the document was parsed by then."""

    steps: ClassVar[list[tuple[str, bool]]] = []

    def on_operation(self) -> Iterator[None]:
        yield from self._note("operation")

    def on_parse(self) -> Iterator[None]:
        yield from self._note("parse")

    def on_validate(self) -> Iterator[None]:
        yield from self._note("validate")

    def on_execute(self) -> Iterator[None]:
        yield from self._note("execute")

    def _note(self, step: str) -> Iterator[None]:
        self.steps.append((step, self.execution_context.graphql_document is not None))
        yield


@dataclass
class Condition:
    """A host's condition that returns a given answer and records its calls."""

    objection: str | None = None
    asked: list[Registration] = field(default_factory=list)

    async def __call__(self, registration: Registration) -> str | None:
        self.asked.append(registration)
        return self.objection


@pytest.fixture
def condition() -> Condition:
    return Condition()


@pytest.fixture
def mfa(make_settings: Callable[..., Settings], clock: Clock, condition: Condition) -> GraphQLMFA:
    return GraphQLMFA(
        make_settings(),
        clock=clock,
        before_registration=condition,
        query=merge_types("Query", (graphql_mfa.Query, HostQuery)),
        mutation=merge_types("Mutation", (graphql_mfa.Mutation, HostMutation)),
        extensions=[Watching],
        scalars={Color: strawberry.scalar(name="Color", parse_value=_loud, serialize=str)},
    )


@pytest.fixture
async def host(mfa: GraphQLMFA) -> AsyncIterator[FastAPI]:
    """A host with redirects as FastAPI has them by default."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with mfa.lifespan():
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(mfa.router(PATH.removeprefix("/app")), prefix="/app")

    @app.get("/name")
    async def name(session: Annotated[Authenticated, Depends(mfa.signed_in())]) -> str:
        return session.account.username

    @app.get("/secret")
    async def secret(session: Annotated[Authenticated, Depends(mfa.signed_in(max_age=300))]) -> str:
        return "42"

    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def api(host: FastAPI, clock: Clock) -> Api:
    transport = httpx.ASGITransport(host, client=("10.0.0.1", 1))
    return Api(httpx.AsyncClient(transport=transport, base_url="http://testserver"), clock, PATH)


def data_of(response: httpx.Response) -> Any:
    answer = response.json()
    assert set(answer) == {"data"}, answer
    return answer["data"]


# -------------------------------------------------------------------------------------------------------- one schema


async def test_one_operation_can_select_fields_of_host_and_package(api: Api) -> None:
    member = await api.member()
    response = await api.send("{ me { username } name policy { issuer } }", token=member.access_token)
    assert data_of(response) == {"me": {"username": "alice"}, "name": "alice", "policy": {"issuer": "GraphQL MFA"}}
    assert data_of(await api.send("mutation { forget }")) == {"forget": True}


async def test_a_resolver_of_the_host_sees_the_request(api: Api) -> None:
    api.http.headers["User-Agent"] = "a browser"
    assert data_of(await api.send("{ agent }")) == {"agent": "a browser"}


async def test_the_hosts_extensions_run(api: Api) -> None:
    Watching.steps.clear()
    await api.send("{ agent }")
    assert Watching.steps == [("operation", True), ("parse", True), ("validate", True), ("execute", True)]

    Watching.steps.clear()
    assert messages(await api.send("{ nothing }"))
    assert Watching.steps == [("operation", True), ("parse", True), ("validate", True)]


def logged_operations(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "graphql_mfa.requests"]


async def test_a_public_error_of_a_hook_is_not_one_of_the_document(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def close(_: Watching) -> None:
        raise PublicError("Closed on Sundays.")

    monkeypatch.setattr(Watching, "on_operation", close)
    caplog.set_level(logging.INFO, "graphql_mfa")
    (error,) = (await api.send("{ agent }")).json()["errors"]
    assert error == {"message": "Closed on Sundays.", "extensions": {"code": "BAD_USER_INPUT"}}
    assert logged_operations(caplog) == ["nothing ran"]


async def test_an_operation_before_a_hook_that_fails_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Watching) -> Iterator[None]:
        yield
        raise RuntimeError

    monkeypatch.setattr(Watching, "on_operation", fail)
    caplog.set_level(logging.INFO, "graphql_mfa")
    (error,) = (await api.send("mutation Forget { forget }")).json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert logged_operations(caplog) == ["mutation Forget"]


async def test_document_limits_apply_to_fields_of_the_host(api: Api) -> None:
    (message,) = messages(await api.send(f"{{ {' '.join(f'a{number}: agent' for number in range(11))} }}"))
    assert "root fields" in message
    login = 'login(input: {username: "a", password: "b"}) { __typename }'
    (message,) = messages(await api.send(f"mutation {{ forget a: {login} b: {login} }}"))
    assert "At most one" in message


async def test_a_public_error_of_the_host_reaches_the_client(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    closing = (await api.send("{ closing }")).json()
    assert closing["errors"][0]["message"] == "Closed on Sundays."
    assert closing["errors"][0]["extensions"] == {"code": "CLOSED"}
    assert_quiet(caplog)

    broken = (await api.send("{ broken }")).json()
    assert broken["errors"][0]["message"] == "Internal server error."
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["graphql_mfa"]
    assert "hunter2" not in caplog.text


async def test_a_scalar_of_the_host_that_repeats_its_value_is_not_repeated(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for document, variables in [
        ('{ mix(color: "hunter2") }', None),
        ("query ($color: Color!) { mix(color: $color) }", {"color": "hunter2"}),
        ('query ($color: Color! = "hunter2") { mix(color: $color) }', None),
    ]:
        with subtests.test(document=document, variables=variables):
            response = await api.send(document, variables)
            assert messages(response)
            assert "hunter2" not in response.text + caplog.text


# ------------------------------------------------------------------------------------------------------- who calls


@pytest.mark.parametrize(
    ("token", "challenge"), [(None, "Bearer"), ("x.y.z", 'Bearer error="invalid_token"'), ("", "Bearer")]
)
async def test_a_field_for_the_signed_in_is_unauthenticated_without_a_session(
    api: Api, token: str | None, challenge: str
) -> None:
    if token == "":
        api.http.headers["Authorization"] = "Basic YTpi"
        challenge = 'Bearer error="invalid_token"'
        token = None
    response = await api.send("{ name }", token=token)
    assert response.json()["data"] is None
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert response.headers["WWW-Authenticate"] == challenge

    route = await api.http.get("/name", headers={} if token is None else {"Authorization": f"Bearer {token}"})
    assert (route.status_code, route.headers["WWW-Authenticate"]) == (401, challenge)
    assert route.json()["detail"]["code"] == "UNAUTHENTICATED"


async def test_arguments_of_a_field_for_the_signed_in_may_have_any_name(api: Api) -> None:
    member = await api.member()
    response = await api.send('{ search(source: "a", next_: "b") }', token=member.access_token)
    assert data_of(response) == {"search": "ab"}


async def test_an_ended_session_is_unauthenticated_at_once(api: Api) -> None:
    member = await api.member()
    await api.logout(member.access_token)
    response = await api.send("{ name }", token=member.access_token)
    assert response.json()["errors"][0]["message"] == "Your session is over. Log in again."
    assert (await api.http.get("/name", headers={"Authorization": f"Bearer {member.access_token}"})).status_code == 401


async def test_a_factor_older_than_max_age_must_be_verified_again(api: Api, clock: Clock) -> None:
    member = await api.member()
    headers = {"Authorization": f"Bearer {member.access_token}"}
    clock.advance(270)  # 30 s have passed since it signed in
    assert data_of(await api.send("{ secret }", token=member.access_token)) == {"secret": "42"}
    assert (await api.http.get("/secret", headers=headers)).json() == "42"

    clock.advance(1)
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    response = await api.send("{ secret }", token=member.access_token)
    assert response.json()["errors"][0]["extensions"] == {"code": "REAUTHENTICATION_REQUIRED"}
    assert response.headers["WWW-Authenticate"] == challenge
    route = await api.http.get("/secret", headers=headers)
    assert (route.status_code, route.headers["WWW-Authenticate"]) == (401, challenge)
    assert data_of(await api.send("{ name }", token=member.access_token)) == {"name": "alice"}


async def test_a_session_of_a_removed_factor_must_verify_another_one(api: Api) -> None:
    member = await api.member()
    first = await first_device(api, member.access_token)
    await confirmed(api, member.access_token)
    assert (await remove(api, member.access_token, first))["__typename"] == "FactorRemoved"
    response = await api.send("{ secret }", token=member.access_token)
    assert response.json()["errors"][0]["extensions"] == {"code": "REAUTHENTICATION_REQUIRED"}
    route = await api.http.get("/secret", headers={"Authorization": f"Bearer {member.access_token}"})
    assert route.status_code == 401


# ---------------------------------------------------------------------------------------------------- registration


async def test_the_hosts_condition_is_called_for_valid_registrations(api: Api, condition: Condition) -> None:
    api.http.headers["X-Captcha"] = "solved"
    assert (await api.register("alice"))["__typename"] == "RegisterUserSuccess"
    (registration,) = condition.asked
    assert registration.username == "alice"
    assert registration.client.address == "10.0.0.1"
    assert registration.client.headers["x-captcha"] == "solved"

    await api.register("alice")
    await api.register("bob", password="short")
    await api.register("carol", password="password1")
    assert len(condition.asked) == 1


async def test_the_hosts_condition_can_refuse(api: Api, condition: Condition) -> None:
    condition.objection = "Only with an invitation."
    refused = await api.register()
    assert refused == {"__typename": "RegistrationRefused", "message": "Only with an invitation."}
    condition.objection = None
    assert (await api.register())["__typename"] == "RegisterUserSuccess"


async def test_a_condition_that_raises_registers_no_account(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: Condition, _: Registration) -> str | None:
        raise ConnectionError(f"the captcha service does not know {PASSWORD}")

    with monkeypatch.context() as patch:
        patch.setattr(Condition, "__call__", fail)
        answer = (await api.send(REGISTER_USER, {"input": {"username": "alice", "password": PASSWORD}})).json()
    assert answer["errors"][0]["message"] == "Internal server error."
    assert PASSWORD not in caplog.text
    assert (await api.register())["__typename"] == "RegisterUserSuccess"


# --------------------------------------------------------------------------------------------------------- mounting


async def test_the_endpoint_does_not_redirect_requests(api: Api) -> None:
    """FastAPI's own redirect for a trailing slash would use the Host header."""
    response = await api.http.post(f"{PATH}/", json={"query": "{ me { id } }"}, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "Location" not in response.headers


async def test_the_endpoint_sets_its_headers_in_a_host_application(api: Api) -> None:
    for response in (await api.send("{ me { id } }"), await api.http.put(PATH), await api.http.get(f"{PATH}/")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


def test_a_request_outside_the_lifespan_gets_an_error_that_names_it(mfa: GraphQLMFA) -> None:
    with pytest.raises(RuntimeError, match=r"lifespan\(\)"):
        _ = mfa.services


async def test_the_lifespan_can_be_entered_twice(mfa: GraphQLMFA) -> None:
    for _ in range(2):
        async with mfa.lifespan():
            assert await mfa.services.database.require_migrated()


def test_a_client_of_its_own_has_no_headers() -> None:
    assert Client("10.0.0.1").headers == {}

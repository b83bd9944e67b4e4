"""The span that each request gets in a trace, for hosts that configure OpenTelemetry."""

import json
from collections.abc import Callable
from typing import NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import graphql_mfa.api.sign_in
import graphql_mfa.http.router
from tests.api_client import LOGIN, ME, PASSWORD, Api
from tests.authenticator import code_at
from tests.http.requests import JSON, POLICY, operation, post

RIGHT = {"input": {"username": "alice", "password": PASSWORD}}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Set up as a host does it: for the whole process, which allows it once, and after our modules were imported."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """The spans of this test's requests so far, without attributes that frameworks may have added."""
    exporter.clear()
    return lambda: [
        span
        for span in exporter.get_finished_spans()
        if span.instrumentation_scope and span.instrumentation_scope.name in {"graphql_mfa", "host"}
    ]


async def test_a_request_is_one_span_with_its_operation_and_outcomes(api: Api, spans: Spans) -> None:
    await api.send(LOGIN, RIGHT)

    (span,) = spans()
    assert span.name == "mutation Login"
    assert span.kind is trace.SpanKind.SERVER
    assert dict(span.attributes or {}) == {
        "graphql.operation.type": "mutation",
        "graphql.operation.name": "Login",
        "graphql_mfa.outcomes": ("login=InvalidCredentials",),
        "http.response.status_code": 200,
    }
    assert span.events == ()


async def test_a_refused_request_has_a_span(
    api: Api, spans: Spans, exporter: InMemorySpanExporter, subtests: pytest.Subtests
) -> None:
    for content, status in [
        (b"{", 400),
        (operation("{"), 200),
        (operation("{ nothing }"), 200),
        (operation(operationName="Nobody"), 400),
    ]:
        with subtests.test(content=content, status=status):
            exporter.clear()
            await post(api, content)

            (span,) = spans()
            assert span.name == "graphql"
            assert dict(span.attributes or {}) == {"graphql_mfa.outcomes": (), "http.response.status_code": status}


async def test_an_operation_without_a_name_has_no_name_in_the_trace(api: Api, spans: Spans) -> None:
    await api.run(POLICY)

    (span,) = spans()
    assert span.name == "query"
    assert dict(span.attributes or {}) == {
        "graphql.operation.type": "query",
        "graphql_mfa.outcomes": (),
        "http.response.status_code": 200,
    }


async def test_a_trace_of_the_caller_is_continued(api: Api, spans: Spans) -> None:
    await post(api, operation(), JSON | {"traceparent": f"00-{TRACE}-{PARENT}-01"})

    (span,) = spans()
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.parent.is_remote


async def test_a_request_without_a_trace_starts_one(
    api: Api, spans: Spans, exporter: InMemorySpanExporter, subtests: pytest.Subtests
) -> None:
    for traceparent in [None, "", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "0" * 5000]:
        with subtests.test(traceparent=traceparent):
            exporter.clear()
            headers = {} if traceparent is None else {"traceparent": traceparent}
            response = await post(api, operation(), JSON | headers)

            (span,) = spans()
            assert response.status_code == 200
            assert span.parent is None


async def test_requests_without_a_trace_are_separate_traces(api: Api, spans: Spans) -> None:
    for _ in range(3):
        await post(api, operation())
    assert len({span.context.trace_id for span in spans() if span.context}) == 3


async def test_spans_of_a_resolver_are_children_of_its_request(
    api: Api, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> NoReturn:
        with trace.get_tracer("host").start_as_current_span("inner"):
            raise ZeroDivisionError

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)

    await api.send(LOGIN, RIGHT)

    inner, outer = spans()
    assert (inner.name, outer.name) == ("inner", "mutation Login")
    assert inner.parent is not None
    assert inner.parent == outer.context


@pytest.mark.parametrize("as_literal", [False, True], ids=["variable", "literal"])
async def test_no_secret_is_traced_when_a_resolver_fails(
    api: Api, spans: Spans, monkeypatch: pytest.MonkeyPatch, as_literal: bool
) -> None:
    """The exception has it in its message, as a database driver's would."""

    async def broken(call: object, username: str, password: str) -> NoReturn:
        raise RuntimeError(f"cannot store {password}")

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)
    literal = f'mutation Login {{ login(input: {{username: "alice", password: "{PASSWORD}"}}) {{ __typename }} }}'

    response = await (api.send(literal) if as_literal else api.send(LOGIN, RIGHT))

    assert response.json()["errors"][0]["message"] == "Internal server error."
    (span,) = spans()
    assert span.name == "mutation Login"
    assert span.events == ()
    _assert_without(span, PASSWORD, "__typename", "alice")


async def test_no_secret_is_traced_when_a_request_fails_outside_of_an_operation(
    api: Api, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise RuntimeError(f"cannot read {PASSWORD}")

    monkeypatch.setattr(graphql_mfa.http.router, "read_operation", broken)

    response = await api.send(LOGIN, RIGHT)

    assert response.status_code == 500
    (span,) = spans()
    assert span.events == ()
    assert (span.attributes or {})["http.response.status_code"] == 500
    _assert_without(span, PASSWORD)


async def test_no_secret_is_traced_when_a_request_is_abandoned(
    api: Api, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that no handler catches passes through the span."""

    class AbandonedError(BaseException):
        pass

    async def broken(*_: object) -> NoReturn:
        raise AbandonedError(PASSWORD)

    monkeypatch.setattr(graphql_mfa.http.router, "read_operation", broken)

    with pytest.raises(AbandonedError):
        await api.send(LOGIN, RIGHT)

    (span,) = spans()
    assert span.events == ()
    _assert_without(span, PASSWORD)


async def test_no_secret_of_a_whole_sign_in_is_traced(api: Api, spans: Spans) -> None:
    member = await api.member()
    challenge = await api.challenge()
    code = code_at(member.secret, api.clock())
    signed_in = (await api.verify_otp(challenge, code))["tokens"]
    await api.me(signed_in["accessToken"])
    await api.refresh(signed_in["refreshToken"])
    await api.logout(signed_in["accessToken"])
    await api.http.get("/graphql", params={"query": ME, "variables": json.dumps(RIGHT)})

    found = spans()
    assert len(found) == 8
    for span in found:
        _assert_without(span, PASSWORD, member.secret, challenge["token"], f'"{code}"', *member.recovery_codes)
        _assert_without(span, *(value for key, value in signed_in.items() if key in {"accessToken", "refreshToken"}))
        _assert_without(span, "__typename", "alice")


async def test_the_message_of_an_exception_is_not_logged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI logs exceptions, messages included, as soon as a host configures OpenTelemetry."""
    logged = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(logged))
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", provider)

    async def broken(*_: object) -> NoReturn:
        raise RuntimeError(f"cannot read {PASSWORD}")

    monkeypatch.setattr("graphql_mfa.app.require_ready", broken)
    with pytest.raises(RuntimeError):
        await api.http.get("/readyz")

    assert logged.get_finished_logs() == ()


async def test_no_instrumentation_traces_a_secret_in_a_query_string(api: Api, exporter: InMemorySpanExporter) -> None:
    """FastAPI traces requests by itself as soon as a host configures OpenTelemetry."""
    exporter.clear()
    variables = json.dumps({"token": "mfar_zebra-quartz"})
    await api.http.get("/graphql", params={"query": ME, "variables": variables})

    found = exporter.get_finished_spans()
    assert found
    for span in found:
        _assert_without(span, "zebra", "username")


async def test_the_spans_of_a_request_are_one_trace(api: Api, exporter: InMemorySpanExporter) -> None:
    """Whatever else traces it, such as FastAPI itself."""
    exporter.clear()
    await api.run(POLICY)

    assert len({span.context.trace_id for span in exporter.get_finished_spans() if span.context}) == 1


async def test_the_field_is_traced_instead_of_its_alias(api: Api, spans: Spans) -> None:
    await api.send("mutation { secretAlias: logout { __typename } }")
    (span,) = spans()
    assert (span.attributes or {})["graphql_mfa.outcomes"] == ("logout=NotAuthenticated",)
    _assert_without(span, "secretAlias")


async def test_a_long_operation_name_is_shortened_in_the_trace(api: Api, spans: Spans) -> None:
    await api.run(f"query {'L' * 1000} {POLICY}")
    (span,) = spans()
    assert span.name.startswith("query LLL")
    assert len(span.to_json()) < 2000


def _assert_without(span: ReadableSpan, *secrets: str) -> None:
    """Assert that no part of the span contains it."""
    text = span.to_json()
    assert [secret for secret in secrets if secret in text] == []

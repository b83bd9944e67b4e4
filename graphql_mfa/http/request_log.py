"""A log line, a span and metrics for each request, without values from the request."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request
from starlette.responses import Response

from graphql_mfa.context import RequestContext

_log = logging.getLogger("graphql_mfa.requests")
_tracer = trace.get_tracer("graphql_mfa")
_propagator = TraceContextTextMapPropagator()

REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


def request_id(request: Request) -> str:
    """The client's X-Request-ID; a random one when it is missing, or not safe to log."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


@contextmanager
def observed(context: RequestContext) -> Iterator[Callable[[Response], Response]]:
    """Trace the request. Yields a function that adds the request's id to the response, logs and counts it."""
    started_at = time.perf_counter()
    in_flight = context.services.metrics.requests_in_flight
    in_span = trace.get_current_span().get_span_context().is_valid  # the host application's
    traceparent = context.request.headers.get("traceparent")
    span = _tracer.start_span(
        "graphql",
        # Without `tracestate`: OpenTelemetry logs the value of a malformed one.
        context=_propagator.extract({"traceparent": traceparent}) if traceparent and not in_span else None,
        kind=trace.SpanKind.INTERNAL if in_span else trace.SpanKind.SERVER,
    )
    # The message of an exception may contain values from the request.
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):

        def finish(response: Response) -> Response:
            response.headers[REQUEST_ID_HEADER] = context.request_id
            _describe(span, context, response.status_code)
            seconds = time.perf_counter() - started_at
            _count(context, response.status_code, seconds)
            _log.info(
                "%s",
                context.operation or "nothing ran",
                extra={
                    "request_id": context.request_id,
                    "outcomes": _outcomes(context),
                    **_errors(context),
                    "status": response.status_code,
                    "duration_ms": round(seconds * 1000, 1),
                    "address": context.client.address,
                },
            )
            return response

        in_flight.inc()
        try:
            yield finish
        finally:
            in_flight.dec()


def _outcomes(context: RequestContext) -> list[str]:
    return [f"{field}={outcome}" for field, outcome in context.outcomes]


def _errors(context: RequestContext) -> dict[str, object]:
    errors: dict[str, object] = {"errors": context.error_codes} if context.error_codes else {}
    return errors | ({"reason": context.reason} if context.reason else {})


def _count(context: RequestContext, status: int, seconds: float) -> None:
    metrics = context.services.metrics
    metrics.responses.labels(status).inc()
    for field, outcome in context.outcomes:
        metrics.outcomes.labels(field, outcome).inc()
    kind = context.operation.partition(" ")[0] if context.operation else "none"
    operation = context.outcomes[0][0] if context.outcomes else kind
    metrics.request_seconds.labels(operation).observe(seconds)


def _describe(span: trace.Span, context: RequestContext, status: int) -> None:
    """Set the attributes of OpenTelemetry's conventions for GraphQL, except the document, which may contain secrets."""
    if not span.is_recording():
        return
    if context.operation:
        span.update_name(context.operation)
        kind, _, name = context.operation.partition(" ")
        span.set_attribute("graphql.operation.type", kind)
        if name:
            span.set_attribute("graphql.operation.name", name)
    span.set_attributes({"graphql_mfa.outcomes": _outcomes(context), "http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(trace.StatusCode.ERROR)

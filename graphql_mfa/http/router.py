"""The GraphQL endpoint, the explorer at the same path, and the security headers of every response."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import APIRouter
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.graphql import OperationType

from graphql_mfa import explorer
from graphql_mfa.context import RequestContext
from graphql_mfa.http import cookie_mode
from graphql_mfa.http.http_request import (
    GRAPHQL_JSON,
    JSON,
    BadRequestError,
    Operation,
    UntrustedProxy,
    accepted_media_types,
    bearer_token,
    client_of,
    is_local,
    read_operation,
    response_media_type,
)
from graphql_mfa.http.public_errors import MASKED, ErrorCode, is_unexpected, public_error, with_code
from graphql_mfa.http.request_log import observed, request_id
from graphql_mfa.http.schema import EncodedData, Schema
from graphql_mfa.logs import log_unexpected
from graphql_mfa.services import Services
from graphql_mfa.settings import Settings
from graphql_mfa.types.errors import PublicError

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""For a response that is neither a page nor cacheable (OWASP HTTP Security Response Headers Cheat Sheet)."""
_RAW_SECURITY_HEADERS = Headers(SECURITY_HEADERS).raw
_HEADERS = SECURITY_HEADERS | {"Vary": "Accept, Authorization"}
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_BY_POST = (OperationType.QUERY, OperationType.MUTATION)


def build_router(
    schema: Schema, services: Callable[[], Services], untrusted_proxy: UntrustedProxy, *, path: str, dev: bool
) -> APIRouter:
    """A router with the GraphQL endpoint at `path`. services: called for each request, to run within the lifespan."""
    endpoint = _Endpoint(schema, services, untrusted_proxy, dev)
    return APIRouter(
        routes=[
            Route(path, endpoint, methods=list(HTTPMethod)),
            Route(f"{path}/explorer/{{name}}", endpoint.asset, methods=["GET"]),
            # A host application would redirect the client, and so its password, to the origin in the Host header.
            Route(f"{path}/", _not_found, methods=list(HTTPMethod)),
        ]
    )


@dataclass(frozen=True)
class _Endpoint:
    """GraphQL over HTTP. An ASGI application, since Starlette wraps functions in several layers."""

    schema: Schema
    services: Callable[[], Services]
    untrusted_proxy: UntrustedProxy
    dev: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        services = self.services()
        if _wants_page(request) and self._shows_explorer(request):
            return HTMLResponse(
                explorer.page(f"{request.url.path}/explorer"),
                headers=_HEADERS | {"Content-Security-Policy": explorer.CONTENT_SECURITY_POLICY},
            )
        context = RequestContext(
            request=request,
            request_id=request_id(request),
            services=services,
            client=client_of(request, services, self.untrusted_proxy),
            access_token=bearer_token(request),
            refresh_cookie=cookie_mode.refresh_cookie(request, services.settings),
        )
        with observed(context) as finish:
            return finish(await self._run_with_timeout(context))

    async def _run_with_timeout(self, context: RequestContext) -> Response:
        """Run the request. After the timeout it is cancelled but not awaited, since a driver may ignore that."""
        work = asyncio.create_task(self._run(context))
        try:
            await asyncio.wait([work], timeout=context.services.settings.request_timeout_seconds)
            if work.done():
                return work.result()
            status = 503 if context.operation else 408
            return _refusal(
                context, BadRequestError(status, "The request took too long.", code=ErrorCode.REQUEST_TIMEOUT)
            )
        finally:
            work.cancel()

    async def _run(self, context: RequestContext) -> Response:
        request, settings = context.request, context.services.settings
        try:
            cookie_mode.require_own_page(request, settings)
            operation = await read_operation(request, settings.max_body_bytes, self.schema.documents.trusted)
            return await self._execute(context, operation)
        except BadRequestError as error:
            return _refusal(context, error)
        except ClientDisconnect:
            return Response(status_code=400)  # never sent
        except Exception as error:  # noqa: BLE001 - masked and logged
            context.services.metrics.unexpected_errors.inc()
            log_unexpected(error, f"request {context.request_id}, outside of an operation")
            return _refusal(context, BadRequestError(500, MASKED, code=ErrorCode.INTERNAL_SERVER_ERROR))

    async def _execute(self, context: RequestContext, operation: Operation) -> Response:
        context.operation_name = operation.operation_name
        try:
            result = await self.schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
                allowed_operation_types=_BY_POST if context.request.method == "POST" else (OperationType.QUERY,),
            )
        except InvalidOperationTypeError as error:
            context.operation = None  # it did not run
            if error.operation_type is OperationType.MUTATION:
                raise BadRequestError(405, "Send mutations with POST.", {"Allow": "POST"}) from None
            raise BadRequestError(400, "Subscriptions are not served.") from None
        except CannotGetOperationTypeError:
            raise BadRequestError(
                400, "The document has no operation of that name.", code=ErrorCode.OPERATION_RESOLUTION_FAILURE
            ) from None
        except GraphQLError as error:
            result = ExecutionResult(None, [error])
        found = result.errors or ()
        if isinstance(result, PreExecutionError) and not any(map(is_unexpected, found)):
            context.operation = None
            # A host's extensions add rules, whose errors have no code, and raise public errors in their hooks.
            code = ErrorCode.GRAPHQL_VALIDATION_FAILED
            found = [each if isinstance(each, PublicError) else with_code(each, code) for each in found]
        errors = [public_error(error) for error in found]
        # Without the messages, which may contain names that the client chose.
        context.error_codes = list(dict.fromkeys(str(error["extensions"]["code"]) for error in errors))
        media_type = response_media_type(context.request)
        if errors and not any(error.path is not None or is_unexpected(error) for error in found):
            # The operation did not run: 400 in the newer media type, 200 for older clients.
            return _json_response(media_type, {"errors": errors}, 400 if media_type == GRAPHQL_JSON else 200)
        if isinstance(result.data, EncodedData):
            response = _response(media_type, b'{"data":%b}' % result.data.encoded)
        else:
            response = _json_response(media_type, {"data": result.data} | ({"errors": errors} if errors else {}))
        response.raw_headers.extend(context.response_headers.raw)
        return response

    def _shows_explorer(self, request: Request) -> bool:
        return shows_explorer(request, self.services().settings, dev=self.dev)

    async def asset(self, request: Request) -> Response:
        found = explorer.asset(request.path_params["name"]) if self._shows_explorer(request) else None
        if found is None:
            return await _not_found(request)
        content, media_type = found
        return Response(content, media_type=media_type, headers=_HEADERS | {"Cache-Control": "max-age=3600"})


def shows_explorer(request: Request, settings: Settings, *, dev: bool) -> bool:
    """Whether the sender of the request may see the explorer."""
    return dev and is_local(request) if settings.explorer is None else settings.explorer


async def _not_found(_: Request) -> Response:
    return Response("Not Found", 404, _HEADERS)


def _wants_page(request: Request) -> bool:
    """Whether a browser requests the page, which shows the `query` of its URL, but no document given by its hash.

    A browser names text/html; a GraphQL client may send `*/*`.
    """
    if request.method not in {"GET", "HEAD"}:
        return False
    accepts_html = "text/html" in accepted_media_types(request.headers.get("accept", ""))
    return accepts_html and not {"documentId", "extensions"} & request.query_params.keys()


def _refusal(context: RequestContext, error: BadRequestError) -> Response:
    context.error_codes, context.reason = [str(error.code)], error.message
    # At 200, the newer media type requires `data`.
    media_type = JSON if error.status == HTTPStatus.OK else response_media_type(context.request)
    body = {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
    response = _json_response(media_type, body, error.status)
    response.headers.update(error.headers or {})
    return response


def _json_response(media_type: str, body: dict[str, Any], status: int = 200) -> Response:
    # UTF-8 has no bytes for a lone surrogate: backslashreplace makes it a JSON escape.
    return _response(media_type, _ENCODER.encode(body).encode("utf-8", "backslashreplace"), status)


def _response(media_type: str, content: bytes, status: int = 200) -> Response:
    return Response(content, status, _HEADERS, media_type=f"{media_type}; charset=utf-8")


class SecurityHeaders:
    """Middleware that adds the security headers that a response doesn't set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                given = {name for name, _ in headers}
                message["headers"] = [*headers, *(header for header in _RAW_SECURITY_HEADERS if header[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)

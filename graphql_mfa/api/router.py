"""The HTTP endpoint: GraphQL, and the explorer."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from graphql_mfa import explorer
from graphql_mfa.api import media_types
from graphql_mfa.api.context import RequestContext
from graphql_mfa.api.http_request import BadRequestError, Operation, read_operation
from graphql_mfa.api.public_errors import MASKED, is_unexpected, public_error
from graphql_mfa.api.schema import Schema
from graphql_mfa.api.unexpected import log_unexpected
from graphql_mfa.core.addresses import address_group
from graphql_mfa.flows.services import Client, Services

_JSON = "application/json"
_GRAPHQL_JSON = "application/graphql-response+json"
_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept, Authorization", "X-Content-Type-Options": "nosniff"}
_ALLOWED = {
    "GET": frozenset({OperationType.QUERY}),
    "HEAD": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}


def build_router(schema: Schema, services: Callable[[], Services], *, path: str = "/graphql") -> APIRouter:
    """A router with the GraphQL endpoint at `path`, and the explorer there when it is switched on.

    `services` is called for each request, so that the router can be made before its dependencies are open.
    """
    router = APIRouter()

    async def endpoint(request: Request) -> Response:
        if services().settings.explorer and _wants_page(request):
            return HTMLResponse(
                explorer.page(f"{request.url.path}/explorer"),
                headers=_HEADERS | {"Content-Security-Policy": explorer.CONTENT_SECURITY_POLICY},
            )
        try:
            operation = await read_operation(request, services().settings.max_body_bytes)
            return await _execute(request, operation)
        except BadRequestError as error:
            return _answer(request, {"errors": [{"message": error.message}]}, status=error.status)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # noqa: BLE001 - the last resort: masked here
            log_unexpected(error, "a request, outside of an operation")
            return _answer(request, {"errors": [{"message": MASKED}]}, status=500)

    async def _execute(request: Request, operation: Operation) -> Response:
        context = RequestContext(
            services=services(),
            client=Client(address_group(request.client.host if request.client else None)),
            access_token=_bearer_token(request),
            operation_name=operation.operation_name,
        )
        try:
            result = await schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
                allowed_operation_types=_ALLOWED[request.method],
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.MUTATION:
                message, headers = "Send mutations with POST.", {"Allow": "POST"}
                return _answer(request, {"errors": [{"message": message}]}, status=405, headers=headers)
            raise BadRequestError(400, "Subscriptions are not served.") from None
        except CannotGetOperationTypeError:
            raise BadRequestError(400, "The document has no operation of that name.") from None
        errors = [public_error(error) for error in result.errors or ()]
        if errors and result.data is None and not any(is_unexpected(error) for error in result.errors or ()):
            # It did not run. Old clients expect 200 with application/json; the newer media type has a status for it.
            status = 400 if _media_type(request) == _GRAPHQL_JSON else 200
            return _answer(request, {"errors": errors}, status=status)
        body = {"data": result.data} | ({"errors": errors} if errors else {})
        return _answer(request, body, headers=context.response_headers)

    async def asset(request: Request) -> Response:
        found = explorer.asset(request.path_params["name"]) if services().settings.explorer else None
        if found is None:
            return Response("Not Found", 404, _HEADERS)
        content, media_type = found
        return Response(content, media_type=media_type, headers=_HEADERS | {"Cache-Control": "max-age=3600"})

    router.add_route(path, endpoint, methods=["GET", "POST"])
    router.add_route(f"{path}/explorer/{{name}}", asset, methods=["GET"])
    return router


def _wants_page(request: Request) -> bool:
    """Whether a browser asks for the page: it names text/html, where a client's `*/*` means any GraphQL answer."""
    accepts_html = "text/html" in media_types.accepted(request.headers.get("accept", ""))
    return request.method in {"GET", "HEAD"} and accepts_html and "query" not in request.query_params


def _bearer_token(request: Request) -> str | None:
    """The access token that was sent; None when there is no header, empty when it is of another kind."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _media_type(request: Request) -> str:
    accepted = media_types.accepted(request.headers.get("accept", ""))
    weight = accepted.get(_GRAPHQL_JSON)
    return _GRAPHQL_JSON if weight and weight >= accepted.get(_JSON, 0) else _JSON


def _answer(
    request: Request, body: dict[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    content = json.dumps(body, separators=(",", ":"))
    return Response(
        content, status, _HEADERS | dict(headers or {}), media_type=f"{_media_type(request)}; charset=utf-8"
    )

"""Reading a GraphQL operation from an HTTP request, strictly."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from starlette.requests import Request

from graphql_mfa.core.texts import is_text, quantity
from graphql_mfa.http.documents import bare_hash
from graphql_mfa.http.headers import parse_media_type
from graphql_mfa.http.public_errors import ErrorCode

_DEEPEST_JSON = 64
_MOST_JSON_VALUES = 1000  # variables are coerced one by one; an input of this schema has at most four


@dataclass(frozen=True)
class Operation:
    """A document, and what to run of it."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class BadRequestError(Exception):
    """A request that is refused before it runs. The message repeats no value of the request."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        code: ErrorCode = ErrorCode.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.code = code


async def read_operation(request: Request, max_bytes: int, trusted: Mapping[str, str] | None) -> Operation:
    """Read the operation from the body of a POST or the query string of a GET.

    trusted: the only documents that may run, by hash; None when any may. Raises BadRequestError, and Starlette's
    ClientDisconnect.
    """
    if request.method == "POST":
        _require_json(request.headers)
        parameters = _object(_json(await _body(request, max_bytes)), "The body")
    elif request.method in {"GET", "HEAD"}:
        parameters = _query_parameters(request, max_bytes)
    else:
        raise BadRequestError(405, "Send operations with POST, or queries with GET.", {"Allow": "GET, HEAD, POST"})
    extensions = parameters.get("extensions")
    if extensions is not None:
        _object(extensions, "`extensions`")
    query = _document(parameters) if trusted is None else _trusted_document(parameters, trusted)
    operation_name = parameters.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise BadRequestError(400, "`operationName` must be a string or null.")
    if not is_text(query + (operation_name or "")):
        raise BadRequestError(400, "`query` and `operationName` must be valid Unicode text.")
    variables = parameters.get("variables")
    return Operation(query, None if variables is None else _object(variables, "`variables`"), operation_name)


def _document(parameters: dict[str, Any]) -> str:
    query = parameters.get("query")
    if query in (None, "") and _persisted_hash(parameters):
        # The status is 200 as in Apollo Server: Apollo's iOS client reads errors of no other status.
        raise BadRequestError(200, "PersistedQueryNotSupported", code=ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED)
    if not isinstance(query, str) or not query.strip():
        raise BadRequestError(400, "`query` must be a string with the document to run.")
    return query


def _trusted_document(parameters: dict[str, Any], trusted: Mapping[str, str]) -> str:
    """The trusted document by `documentId` (GraphQL over HTTP, appendix A), or by the hash of Apollo's clients."""
    document_id = parameters.get("documentId") or _persisted_hash(parameters)
    if parameters.get("query") is not None or not isinstance(document_id, str):
        raise BadRequestError(
            400,
            "This server runs trusted documents only: send `documentId` and no `query`.",
            code=ErrorCode.PERSISTED_QUERY_ID_REQUIRED,
        )
    document = trusted.get(bare_hash(document_id))
    if document is None:
        # urql and older releases of Apollo Client compare the message instead of the code.
        raise BadRequestError(400, "PersistedQueryNotFound", code=ErrorCode.PERSISTED_QUERY_NOT_FOUND)
    return document


def _persisted_hash(parameters: dict[str, Any]) -> str | None:
    """The hash of Apollo's automatic persisted queries, which is sent first without the document, then with it."""
    persisted = (parameters.get("extensions") or {}).get("persistedQuery")
    sha256 = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    return sha256 if isinstance(sha256, str) else None


def _require_json(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequestError(415, "A compressed body is not accepted.")
    media_type, parameters = parse_media_type(headers.get("content-type", ""))
    if media_type != "application/json":
        raise BadRequestError(415, "The body must be application/json.")
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise BadRequestError(415, "The body must be in UTF-8.")


async def _body(request: Request, max_bytes: int) -> bytes:
    """Read the body, and refuse it as soon as it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BadRequestError(413, f"The body is longer than {quantity(max_bytes, 'byte')}.")
    return bytes(body)


def _query_parameters(request: Request, max_bytes: int) -> dict[str, Any]:
    if len(request.scope["query_string"]) > max_bytes:
        raise BadRequestError(414, f"The query string is longer than {quantity(max_bytes, 'byte')}.")
    pairs = request.query_params.multi_items()
    if len(dict(pairs)) < len(pairs):
        raise BadRequestError(400, "The query string has a name twice.")
    # A form sends an omitted parameter as an empty one.
    parameters: dict[str, Any] = {name: value for name, value in pairs if value}
    for name in {"variables", "extensions"} & parameters.keys():
        parameters[name] = _json(parameters[name].encode())
    return parameters


def _json(data: bytes) -> object:
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        _require_bounded(value)
    except UnicodeDecodeError:
        raise BadRequestError(400, "The request is not valid UTF-8.") from None
    # ValueError includes numbers with thousands of digits.
    except (ValueError, RecursionError):
        raise BadRequestError(400, "The request is not valid JSON, nested too deep, or has a name twice.") from None
    return value


def _require_bounded(value: object) -> None:
    """Refuse a value that is nested too deep, or has too many values in it.

    Python's own limit of nesting depends on its version, and later steps have less stack left.
    """
    level = [value]
    found = 0
    for _ in range(_DEEPEST_JSON):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        found += len(level)
        if found > _MOST_JSON_VALUES:
            raise BadRequestError(400, f"The request has more than {_MOST_JSON_VALUES} JSON values.")
        if not level:
            return
    raise ValueError


def _inside(outer: dict[str, Any] | list[Any]) -> Collection[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate names: a proxy may read the other one (RFC 8259 4)."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequestError(400, f"{what} must be a JSON object.")
    return value

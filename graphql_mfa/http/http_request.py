"""Reading a request strictly: the operation, the headers, and the client's address."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from starlette.requests import Request

from graphql_mfa.core.addresses import Address, address_group, is_loopback, is_proxy, parse_address, source
from graphql_mfa.core.inputs import is_text, quantity
from graphql_mfa.http.documents import bare_hash
from graphql_mfa.http.public_errors import ErrorCode
from graphql_mfa.services import Client, Services

_DEEPEST_JSON = 64
_MOST_JSON_VALUES = 1000  # variables are coerced one by one; an input of this schema has at most four
JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
# An unclosed quote extends to the end of the header; searching for its end repeatedly would take quadratic time.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_log = logging.getLogger("graphql_mfa")

_FORWARDING_HEADERS = ("forwarded", "via", "x-real-ip")
_OTHER_FORWARDING_HEADERS = re.compile(
    "x-forwarded-.*|x-original-.*|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip|cdn-loop"
)
_HOST = re.compile(r"(localhost|[0-9.]{7,15}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
_PREFLIGHT = ("origin", "access-control-request-method")  # Fetch, 4.8
_WARNING_PERIOD = timedelta(hours=1)
_WARNING = (
    "X-Forwarded-For came from {peer}, which GRAPHQL_MFA_TRUSTED_PROXIES does not name: it is ignored, and all clients "
    "behind that address count as one."
)


@dataclass(frozen=True)
class Operation:
    """A document, and what to run of it."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


@dataclass(eq=False)
class BadRequestError(Exception):
    """A request that is refused before it runs. The message repeats no value of the request."""

    status: int
    message: str
    headers: Mapping[str, str] | None = None
    code: ErrorCode = ErrorCode.BAD_REQUEST


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
        raise BadRequestError(405, _hint(request), {"Allow": "GET, HEAD, POST"})
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


def _hint(request: Request) -> str:
    if request.method == "OPTIONS" and all(name in request.headers for name in _PREFLIGHT):
        # CORSMiddleware answers the preflights of listed origins.
        return (
            "Pages of this origin may not use this API: list the origin in GRAPHQL_MFA_CORS_ORIGINS or, in a host "
            "application, in its CORSMiddleware."
        )
    return "Send operations with POST, or queries with GET."


def _document(parameters: dict[str, Any]) -> str:
    query = parameters.get("query")
    if query in (None, "") and _persisted_hash(parameters):
        # 200, since Apollo's iOS client reads errors of no other status.
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
    if media_type != JSON:
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
    except (ValueError, RecursionError):
        raise BadRequestError(400, "The request is not valid JSON, nested too deep, or has a name twice.") from None
    return value


def _require_bounded(value: object) -> None:
    """Refuse too deep and too many values. Python's own limit depends on its version and on the stack that is left."""
    level: list[Any] = [value]
    found = 0
    for _ in range(_DEEPEST_JSON):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        found += len(level)
        if found > _MOST_JSON_VALUES:
            raise BadRequestError(400, f"The request has more than {_MOST_JSON_VALUES} JSON values.")
        if not level:
            return
    raise ValueError


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


def bearer_token(request: Request) -> str | None:
    """The access token; None without an Authorization header, empty for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def response_media_type(request: Request) -> str:
    """The media type of a GraphQL response, from the Accept header: JSON when it prefers neither."""
    accepted = accepted_media_types(request.headers.get("accept", ""))
    weight = accepted.get(GRAPHQL_JSON)
    return GRAPHQL_JSON if weight and weight >= accepted.get(JSON, 0) else JSON


def accepted_media_types(header: str) -> dict[str, float]:
    """The media types in an Accept header, in lower case, with their weights; those with weight 0 are left out."""
    weights = {}
    # Quoted strings may hold separators; no parameter that is read here is quoted.
    for part in _QUOTED.sub("", header).split(","):
        media_type, parameters = parse_media_type(part)
        quality = parameters.get("q", "1")
        weight = float(quality) if _QUALITY.fullmatch(quality) else 1.0
        if weight > 0:
            weights[media_type] = weight
    return weights


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters (RFC 9110, 8.3.1)."""
    media_type, *parameters = text.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.strip().lower(), {name.strip().lower(): value.strip(' \t"') for name, _, value in pairs}


class UntrustedProxy:
    """Peers that send `X-Forwarded-For` without being trusted: logged once an hour at most, and shown by /readyz."""

    def __init__(self) -> None:
        self._logged_at: datetime | None = None
        self._seen_at: datetime | None = None

    def report(self, peer: Address | None, now: datetime) -> None:
        self._seen_at = now
        if self._logged_at is None or now - self._logged_at >= _WARNING_PERIOD:
            self._logged_at = now
            _log.warning("%s", _WARNING.format(peer=peer))

    def warning(self, now: datetime) -> str | None:
        """The warning, if such a request came within the last hour. It names no address, since /readyz is public."""
        if self._seen_at is None or now - self._seen_at >= _WARNING_PERIOD:
            return None
        return _WARNING.format(peer="an address")


def client_of(request: Request, services: Services, untrusted_proxy: UntrustedProxy) -> Client:
    """The client, by the address that trusted proxies forward, else by the peer's."""
    forwarded_for = ",".join(request.headers.getlist("x-forwarded-for"))
    peer = parse_address(request.client.host) if request.client else None
    proxies = services.settings.trusted_proxies
    address, shared = source(peer, forwarded_for, proxies)
    if not is_proxy(peer, proxies):
        shared = shared or any(name in request.headers for name in _FORWARDING_HEADERS)
        if forwarded_for:
            untrusted_proxy.report(peer, services.clock())
    return Client(address_group(address), request.headers, str(address) if address else None, shared)


def is_local(request: Request) -> bool:
    """Whether a browser on this machine sent the request to a loopback address.

    A proxy on this machine is a loopback peer too, but forwards another Host or adds headers of its own. A site whose
    name was rebound to a loopback address (DNS rebinding) sends its own name as Host.
    """
    host = _HOST.fullmatch(request.headers.get("host", ""))
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and host is not None
        and is_loopback(host[1].strip("[]"))
        and not any(
            name in _FORWARDING_HEADERS or _OTHER_FORWARDING_HEADERS.fullmatch(name) for name in request.headers
        )
    )

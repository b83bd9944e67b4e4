"""The GraphQL schema of a deployment: documents are checked and executed, and outcomes are applied to the response."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, cast

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    default_field_resolver,
    execute_sync,
    get_named_type,
    get_nullable_type,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, get_object_definition
from strawberry.types.scalar import ScalarDefinition

from graphql_mfa.api.mutation import secret_marks
from graphql_mfa.api.root import Mutation, Query
from graphql_mfa.context import RequestContext
from graphql_mfa.http import cookie_mode
from graphql_mfa.http.documents import DocumentChecks, WeighedCache, operation_name
from graphql_mfa.http.public_errors import ErrorCode, is_unexpected, with_code
from graphql_mfa.logs import log_unexpected
from graphql_mfa.settings import Settings
from graphql_mfa.types.accounts import AccountDeleted
from graphql_mfa.types.errors import PublicError
from graphql_mfa.types.passkeys import WEBAUTHN_JSON, WebAuthnJSON
from graphql_mfa.types.sessions import LogoutSuccess, NotAuthenticated, SessionExpired, SessionRevoked
from graphql_mfa.types.sign_in import SignInSuccess

_LONGEST_LOGGED_NAME = 80
_DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant in RFC 3339, always with an offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=datetime.isoformat,
    parse_value=datetime.fromisoformat,
)
_CACHED_BYTES = 4_000_000


class Schema(strawberry.Schema):
    """The schema with this deployment's checks of documents. Unexpected errors are logged, clients' mistakes aren't."""

    def __init__(
        self,
        settings: Settings,
        *,
        query: type = Query,
        mutation: type = Mutation,
        extensions: Sequence[Callable[[], SchemaExtension]] = (),
        scalars: Mapping[object, ScalarDefinition] = MappingProxyType({}),
    ) -> None:
        """query, mutation: a host's types, which inherit from the defaults. extensions, scalars: the host's.

        Raises ValueError when a trusted document would be refused, or when a query exposes the mutations.
        """
        super().__init__(
            query=query,
            mutation=mutation,
            config=StrawberryConfig(scalar_map={datetime: _DATE_TIME, WebAuthnJSON: WEBAUTHN_JSON, **scalars}),
            extensions=extensions,
        )
        marks = secret_marks(self._schema)
        secret_fields = frozenset(name for name, takes_secret in marks.items() if takes_secret)
        _check_queries_lead_to_no_mutation(self._schema, secret_fields)
        _apply_outcomes(self._schema)
        self.documents = DocumentChecks(settings, self._schema, secret_fields)
        self.introspection = Introspection(self._schema)

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        """Check the document and select the operation, before any hook of a host's extensions.

        Not in hooks of an extension: their context managers would take a tenth of the time of a short operation. Raises
        GraphQLError when the document can't be parsed.
        """
        context: RequestContext = execution_context.context
        # Cached by text, since a lookup by the parsed document would hash all of its nodes.
        checked = self.documents.check(execution_context.query or "")
        errors = [with_code(error, ErrorCode.GRAPHQL_VALIDATION_FAILED) for error in checked.errors]
        operation = get_operation_ast(checked.document, context.operation_name)
        if operation is None and context.operation_name is None and not errors:
            # Strawberry would run the first operation; the specification requires an error (6.1).
            code = {"code": ErrorCode.OPERATION_RESOLUTION_FAILURE}
            several = "The document has several operations: name the one to run in `operationName`."
            errors = [PublicError(several, extensions=code)]
        if operation and not errors:
            name = operation_name(operation)
            context.operation = f"{operation.operation.value} {(name or '')[:_LONGEST_LOGGED_NAME]}".strip()
            if name in checked.introspections:
                introspect = _Introspect()
                introspect.execution_context = execution_context
                extensions = [introspect, *extensions]
        execution_context.graphql_document = checked.document
        execution_context.pre_execution_errors = errors or None
        # Strawberry then validates only by the rules that a host's extensions add, such as DisableIntrospection.
        execution_context.validation_rules = ()
        return super().create_extensions_runner(execution_context, extensions)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors that a client sees masked."""
        context: RequestContext | None = execution_context.context if execution_context else None
        where = f"request {context.request_id}, {context.operation}" if context else "an operation"
        for error in filter(is_unexpected, errors):
            if context:
                context.services.metrics.unexpected_errors.inc()
            log_unexpected(error.original_error or error, f"{where} at {error.path}")


class _Introspect(SchemaExtension):
    """Gives the result of an introspection, so that Strawberry doesn't execute the operation."""

    async def on_execute(self) -> AsyncIterator[None]:
        schema = cast("Schema", self.execution_context.schema)
        self.execution_context.result = await schema.introspection.execute(self.execution_context)
        yield


def _check_queries_lead_to_no_mutation(schema: GraphQLSchema, secret_fields: frozenset[str]) -> None:
    """Queries may be sent by GET, so a query must not expose mutations (CSRF). Raises ValueError."""
    found: set[GraphQLNamedType] = set()
    left: list[GraphQLNamedType] = [cast("GraphQLObjectType", schema.query_type)]
    while left:
        type_ = left.pop()
        if type_ in found:
            continue
        found.add(type_)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            if secret_fields & type_.fields.keys():
                raise ValueError(f"A query exposes the mutations, through the type {type_.name}.")
            left += [get_named_type(field.type) for field in type_.fields.values()]
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            left += schema.get_possible_types(type_)


def _apply_outcomes(schema: GraphQLSchema) -> None:
    """Make each root field that returns a union, a host's too, apply its outcome to the response and the log."""
    for root in (schema.query_type, schema.mutation_type):
        for field in root.fields.values() if root else ():
            if isinstance(get_nullable_type(field.type), GraphQLUnionType):
                field.resolve = _applying(field.resolve or default_field_resolver)


def _applying(resolve: Callable[..., Any]) -> Callable[..., Any]:
    async def resolve_and_apply(
        source: object, info: GraphQLResolveInfo[RequestContext], **arguments: object
    ) -> object:
        resolved = resolve(source, info, **arguments)
        outcome = await resolved if isawaitable(resolved) else resolved
        _apply(info.context, info.field_name, outcome)
        return outcome

    return resolve_and_apply


def _apply(context: RequestContext, field_name: str, outcome: object) -> None:
    definition = get_object_definition(outcome)
    if definition is None:
        return
    context.outcomes.append((field_name, definition.name))
    match outcome:
        case SignInSuccess():
            cookie_mode.move_to_cookie(context, outcome.tokens)
        case LogoutSuccess() | AccountDeleted():
            cookie_mode.expire_cookie(context)
        case SessionRevoked() if outcome.id == str(outcome.user.session_id):
            cookie_mode.expire_cookie(context)
        case SessionExpired() | NotAuthenticated() if context.uses_cookie:
            cookie_mode.expire_cookie(context)
    if isinstance(outcome, NotAuthenticated):
        context.reject_access_token()
    context.uses_cookie = False


class EncodedData(dict[str, Any]):
    """The `data` of a result as JSON text. The dictionary itself is empty."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.encoded = encoded


class Introspection:
    """Executes introspection, one operation at a time.

    The hooks of a host's extensions run, except `resolve`, which would be called for each field of the schema.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._results: WeighedCache[ExecutionResult] = WeighedCache(_CACHED_BYTES)
        self._lock = asyncio.Lock()

    async def execute(self, execution: ExecutionContext) -> ExecutionResult:
        """The result of a valid document. Its `data` is EncodedData, unless there are errors."""
        key = (execution.query, json.dumps(execution.variables), execution.operation_name)
        if known := self._results.get(key):
            return known
        async with self._lock:
            if known := self._results.get(key):
                return known
            result = await asyncio.to_thread(_execute, self._schema, execution)
            if isinstance(result.data, EncodedData):
                self._results.put(key, result, len(result.data.encoded) + sum(len(part or "") for part in key))
            return result


def _execute(schema: GraphQLSchema, execution: ExecutionContext) -> ExecutionResult:
    document = cast("DocumentNode", execution.graphql_document)
    result = execute_sync(
        schema, document, variable_values=execution.variables, operation_name=execution.operation_name
    )
    if result.errors:
        return result
    data = json.dumps(result.data, ensure_ascii=False, separators=(",", ":"))
    return ExecutionResult(EncodedData(data.encode("utf-8", "backslashreplace")))

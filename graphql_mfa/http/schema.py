"""The GraphQL schema of a deployment, and the execution of checked documents."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import cast

import strawberry
from graphql import (
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_operation_ast,
    specified_rules,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.scalar import ScalarDefinition

from graphql_mfa.api.mutation import secret_marks
from graphql_mfa.api.mutations import Mutation
from graphql_mfa.api.queries import Query
from graphql_mfa.context import RequestContext
from graphql_mfa.http.documents import DocumentChecks, operation_name
from graphql_mfa.http.introspection import Introspection
from graphql_mfa.http.outcomes import apply_outcomes
from graphql_mfa.http.public_errors import ErrorCode, is_unexpected, with_code
from graphql_mfa.logs import log_unexpected
from graphql_mfa.settings import Settings
from graphql_mfa.types.errors import PublicError

_LONGEST_LOGGED_NAME = 80
_SPECIFIED_RULES = frozenset(specified_rules)
_DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant in RFC 3339, always with an offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=datetime.isoformat,
    parse_value=datetime.fromisoformat,
)


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
            config=StrawberryConfig(scalar_map={datetime: _DATE_TIME, **scalars}),
            extensions=(_CheckDocument, *extensions),
        )
        marks = secret_marks(self._schema)
        secret_fields = frozenset(name for name, takes_secret in marks.items() if takes_secret)
        _check_queries_lead_to_no_mutation(self._schema, secret_fields)
        apply_outcomes(self._schema)
        self.documents = DocumentChecks(settings, self._schema, secret_fields)
        self.introspection = Introspection(self._schema)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors that a client sees masked."""
        context: RequestContext | None = execution_context.context if execution_context else None
        where = f"request {context.request_id}, {context.operation}" if context else "an operation"
        for error in filter(is_unexpected, errors):
            if context:
                context.services.metrics.unexpected_errors.inc()
            log_unexpected(error.original_error or error, f"{where} at {error.path}")


class _CheckDocument(SchemaExtension):
    """Checks the document and selects the operation, before the hooks of a host's extensions."""

    def on_parse(self) -> Iterator[None]:
        execution = self.execution_context
        self._schema = cast("Schema", execution.schema)
        # Cached by text, since a lookup by the parsed document would hash all of its nodes.
        self._checked = self._schema.documents.check(execution.query or "")
        execution.graphql_document = self._checked.document
        yield

    def on_validate(self) -> Iterator[None]:
        execution, document = self.execution_context, self._checked.document
        context: RequestContext = execution.context
        operation = get_operation_ast(document, context.operation_name)
        errors = self._checked.errors
        # Strawberry skips its validation, and with it the rules of a host's extensions, such as DisableIntrospection.
        added = [rule for rule in execution.validation_rules if rule not in _SPECIFIED_RULES]
        if not errors and added:
            errors = self._schema.documents.errors_by(added, document)
        if not errors and operation is None and context.operation_name is None:
            # Strawberry would run the first operation; the specification requires an error (6.1).
            several = PublicError("The document has several operations: name the one to run in `operationName`.")
            errors = [with_code(several, ErrorCode.OPERATION_RESOLUTION_FAILURE)]
        self._introspects = False
        if not errors and operation:
            name = operation_name(operation)
            self._introspects = name in self._checked.introspections
            context.operation = f"{operation.operation.value} {(name or '')[:_LONGEST_LOGGED_NAME]}".strip()
        execution.pre_execution_errors = [with_code(error, ErrorCode.GRAPHQL_VALIDATION_FAILED) for error in errors]
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        if self._introspects:
            # Strawberry executes nothing when there is a result.
            execution.result = await self._schema.introspection.execute(
                execution.query or "", self._checked.document, execution.variables, execution.operation_name
            )
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
                raise ValueError(f"A query leads to the mutations, by the type {type_.name}.")
            left += [get_named_type(field.type) for field in type_.fields.values()]
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            left += schema.get_possible_types(type_)

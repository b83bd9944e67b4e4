"""The schema, and how a document is judged before it runs."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, cast

import graphql
import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    get_named_type,
    get_operation_ast,
    specified_rules,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types import ExecutionContext
from strawberry.types.scalar import ScalarDefinition

from graphql_mfa.api.mutation import secret_marks
from graphql_mfa.api.mutations import Mutation
from graphql_mfa.api.queries import Query
from graphql_mfa.context import RequestContext
from graphql_mfa.http.caches import WeighedCache
from graphql_mfa.http.introspection import FIELDS, Introspection, root_fields
from graphql_mfa.http.limits import DocumentLimits
from graphql_mfa.http.outcomes import conclude_operations
from graphql_mfa.http.public_errors import ErrorCode, is_unexpected, with_code
from graphql_mfa.http.trusted_documents import load_documents
from graphql_mfa.http.unexpected import log_unexpected
from graphql_mfa.http.validation import RULES, validate
from graphql_mfa.settings import Settings
from graphql_mfa.types.errors import PublicError

# A parsed document takes up to 150 bytes for each of its characters.
_CACHED_CHARACTERS = 100_000
_LONGEST_LOGGED_NAME = 80
_SPECIFIED_RULES = frozenset(specified_rules)


class Judged(NamedTuple):
    """A parsed document, why it is refused, and the names of its operations that read the schema only."""

    document: DocumentNode
    errors: list[GraphQLError]
    introspections: Collection[str | None] = ()


Judge = Callable[[str], Judged]


class Schema(strawberry.Schema):
    """Logs what nobody expected; a client's mistakes are answered, not logged.

    judge: parses a document and finds its errors; remembers valid ones. trusted_documents: the only documents that may
    run, by hash; None when any may.
    """

    judge: Judge
    introspection: Introspection
    trusted_documents: Mapping[str, str] | None = None

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors that a client will see masked."""
        context: RequestContext | None = execution_context.context if execution_context else None
        where = f"request {context.request_id}, {context.operation}" if context else "an operation"
        for error in filter(is_unexpected, errors):
            if context:
                context.services.metrics.unexpected_errors.inc()
            log_unexpected(error.original_error or error, f"{where} at {error.path}")


class _DocumentChecks(SchemaExtension):
    """Checks a document and selects its operation, before the hooks of a host's extensions."""

    def on_parse(self) -> Iterator[None]:
        execution = self.execution_context
        # The cache's key is the text, since looking up a parsed document would hash all of its nodes.
        self._judged = cast("Schema", execution.schema).judge(execution.query or "")
        execution.graphql_document = self._judged.document
        yield

    def on_validate(self) -> Iterator[None]:
        execution, document = self.execution_context, self._judged.document
        context: RequestContext = execution.context
        operation = get_operation_ast(document, context.operation_name)
        errors = self._judged.errors
        # Rules that a host's extensions add, such as DisableIntrospection: Strawberry skips them with its validation.
        added = [rule for rule in execution.validation_rules if rule not in _SPECIFIED_RULES]
        if not errors and added:
            errors = validate(execution.schema._schema, document, added, hide_suggestions=True)  # noqa: SLF001
        if not errors and operation is None and context.operation_name is None:
            # Strawberry would run the first operation; GraphQL (6.1) requires an error.
            several = PublicError("The document has several operations: name the one to run in `operationName`.")
            errors = [with_code(several, ErrorCode.OPERATION_RESOLUTION_FAILURE)]
        self._introspects = False
        if not errors and operation:
            self._introspects = _name(operation) in self._judged.introspections
            name = _name(operation) or ""
            context.operation = f"{operation.operation.value} {name[:_LONGEST_LOGGED_NAME]}".strip()
        execution.pre_execution_errors = [with_code(error, ErrorCode.GRAPHQL_VALIDATION_FAILED) for error in errors]
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        if self._introspects:
            # With a result, Strawberry doesn't execute the operation.
            execution.result = await cast("Schema", execution.schema).introspection.execute(
                execution.query or "", self._judged.document, execution.variables, execution.operation_name
            )
        yield


def build_schema(
    settings: Settings,
    *,
    query: type = Query,
    mutation: type = Mutation,
    extensions: Sequence[Callable[[], SchemaExtension]] = (),
    scalars: Mapping[object, ScalarDefinition] = MappingProxyType({}),
) -> Schema:
    """The schema with this deployment's limits; a host gives its own types, made of these, extensions and scalars.

    Raises ValueError when a trusted document would be refused, or a query of the host's leads to the mutations.
    """
    schema = Schema(
        query=query,
        mutation=mutation,
        config=StrawberryConfig(scalar_map={datetime: _DATE_TIME, **scalars}),
        extensions=(_DocumentChecks, *extensions),
    )
    graphql_schema = schema._schema  # noqa: SLF001
    secret_fields = frozenset(name for name, takes_secret in secret_marks(graphql_schema).items() if takes_secret)
    limits = DocumentLimits(settings, secret_fields)
    rules = (*RULES, MaybeNullValidationRule, OneOfInputValidationRule)
    if not settings.introspection:
        rules = (*rules, NoSchemaIntrospectionCustomRule)

    valid: WeighedCache[Judged] = WeighedCache(_CACHED_CHARACTERS)

    def judge(text: str) -> Judged:
        if known := valid.get(text):
            return known
        if errors := limits.text_errors(text):
            raise errors[0]
        document = graphql.parse(text, max_tokens=settings.max_query_tokens)
        # A document that is too large does not get as far as the rules, some of which cost more than it does.
        errors = limits.errors(document) or validate(
            graphql_schema,
            document,
            rules,
            hide_suggestions=not settings.introspection,
        )
        if errors:
            return Judged(document, errors)
        judged = Judged(document, [], _introspections(document))
        valid.put(text, judged, len(text))
        return judged

    schema.judge = judge
    schema.introspection = Introspection(graphql_schema)
    _check_queries_lead_to_no_mutation(graphql_schema, secret_fields)
    conclude_operations(graphql_schema)
    if settings.trusted_documents is not None:
        schema.trusted_documents = load_documents(settings.trusted_documents)
        for document_id, document in schema.trusted_documents.items():
            try:
                errors = judge(document).errors
            except GraphQLError as error:
                errors = [error]
            if errors:
                raise ValueError(f"The trusted document {document_id:.80} can't run: {errors[0].message}")
    return schema


def _introspections(document: DocumentNode) -> frozenset[str | None]:
    return frozenset(
        _name(definition)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode) and FIELDS & {*root_fields(document, definition)}
    )


def _name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


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


_DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant in RFC 3339, always with an offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=datetime.isoformat,
    parse_value=datetime.fromisoformat,
)

"""The schema, and how a document is judged before it runs."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import cast

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    specified_rules,
)
from strawberry.extensions import MaxTokensLimiter, ParserCache, SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import validate_document
from strawberry.types import ExecutionContext

from graphql_mfa.api.limits import DocumentLimits
from graphql_mfa.api.mutations import CREDENTIAL_FIELDS, Mutation
from graphql_mfa.api.public_errors import is_unexpected
from graphql_mfa.api.queries import Query
from graphql_mfa.api.unexpected import log_unexpected
from graphql_mfa.settings import Settings

_CACHED_DOCUMENTS = 128

Validate = Callable[[GraphQLSchema, DocumentNode], list[GraphQLError]]


class Schema(strawberry.Schema):
    """Logs what nobody expected; a client's mistakes are answered, not logged."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors that a client will see masked."""
        for error in filter(is_unexpected, errors):
            name = execution_context.operation_name if execution_context else None
            log_unexpected(error.original_error or error, f"operation {name!r:.80} at {error.path}")


class _Validation(SchemaExtension):
    """Judges size first, then validity, then which operation is meant; the verdict on a document is kept."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate

    def on_validate(self) -> Iterator[None]:
        execution = self.execution_context
        document = cast("DocumentNode", execution.graphql_document)
        execution.pre_execution_errors = self._validate(execution.schema._schema, document) or _ambiguity(  # noqa: SLF001
            document, execution.context.operation_name
        )
        yield


def build_schema(settings: Settings) -> Schema:
    """The schema with this deployment's limits."""
    limits = DocumentLimits(settings, CREDENTIAL_FIELDS)

    @lru_cache(_CACHED_DOCUMENTS)
    def validate(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
        # A document that is too large does not get as far as the rules, some of which cost more than it does.
        return limits.errors(document) or validate_document(schema, document, tuple(specified_rules))

    return Schema(
        query=Query,
        mutation=Mutation,
        config=StrawberryConfig(scalar_map={datetime: _DATE_TIME}),
        extensions=[
            lambda: MaxTokensLimiter(settings.max_query_tokens),
            lambda: ParserCache(_CACHED_DOCUMENTS),
            lambda: _Validation(validate),
        ],
    )


_DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant in RFC 3339, always with an offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=datetime.isoformat,
    parse_value=datetime.fromisoformat,
)


def _ambiguity(document: DocumentNode, operation_name: str | None) -> list[GraphQLError]:
    """The library would run the first of several operations; the specification wants an error (6.1)."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if operation_name is not None or len(operations) == 1:
        return []
    return [GraphQLError("The document has several operations: name the one to run in `operationName`.")]

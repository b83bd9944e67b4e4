"""Checks of documents before they run, a cache of valid ones, and the trusted documents.

graphql-core's `validate` reports 100 errors, each with suggested names, and compares up to half a million pairs of
fields, so that a document of 2 KB can block the event loop for a third of a second.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    parse,
    specified_rules,
    visit,
)
from graphql.validation.rules import ASTValidationRule
from graphql.validation.validate import ValidationAbortedError, query_document_keys_to_validate
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_mfa.http.limits import INTROSPECTION_FIELDS, DocumentLimits, root_fields
from graphql_mfa.settings import Settings
from graphql_mfa.types.errors import PublicError

V = TypeVar("V")

# A parsed document takes up to 150 bytes for each of its characters.
_CACHED_CHARACTERS = 100_000
# Each error may print the whole literal that it is about.
_MOST_ERRORS = 5
_ERRORS_WITH_SUGGESTIONS = 2
# In graphql-core's unit: two for a pair of fields of one response name, one for a pair of fragments. Apollo adds
# `__typename` to every selection set: 30 sibling fragments that select it and `id` take 3,500.
_MOST_COMPARISONS = 5000

Rule = Callable[[ValidationContext], ASTValidationRule]


class _BoundedOverlappingFieldsRule(OverlappingFieldsCanBeMergedRule):
    """The rule compares all pairs of fields of one response name, which takes quadratic time."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = _MOST_COMPARISONS


RULES: tuple[Rule, ...] = tuple(
    _BoundedOverlappingFieldsRule if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules
)
"""The rules of the specification."""


class _EnoughError(Exception):
    """The maximum number of errors is reached."""


class _Context(ValidationContext):
    """Collects errors. Only the first two suggest names, since a suggestion computes the distance to many names."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, *, hide_suggestions: bool) -> None:
        self.errors: list[GraphQLError] = []
        self.type_info = TypeInfo(schema)
        super().__init__(schema, document, self.type_info, self.errors.append, hide_suggestions)

    @property
    def hide_suggestions(self) -> bool:
        """Whether a rule omits suggestions."""
        return super().hide_suggestions or len(self.errors) >= _ERRORS_WITH_SUGGESTIONS

    def report_error(self, error: GraphQLError) -> None:
        """Collect an error. Raises _EnoughError for the last one."""
        super().report_error(error)
        if len(self.errors) == _MOST_ERRORS:
            raise _EnoughError


def validate(
    schema: GraphQLSchema, document: DocumentNode, rules: Sequence[Rule], *, hide_suggestions: bool
) -> list[GraphQLError]:
    """The first errors of a document whose size is within the limits."""
    context = _Context(schema, document, hide_suggestions=hide_suggestions)
    visitor = ParallelVisitor([rule(context) for rule in rules])
    try:
        visit(document, TypeInfoVisitor(context.type_info, visitor), query_document_keys_to_validate)
    except _EnoughError:
        pass
    except ValidationAbortedError:
        context.errors.append(
            PublicError("This document is too large: its fields and fragments have to be compared too often.")
        )
    except RecursionError:
        context.errors.append(PublicError("This document is too large: it is nested too deep."))
    return context.errors


class WeighedCache(Generic[V]):
    """An LRU cache that is bounded by the total weight of its entries, since clients choose how large each one is."""

    def __init__(self, capacity: int) -> None:
        """capacity: in the unit of the callers' weights."""
        self._left = capacity
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Add a value, and evict the least recently used ones to make room."""
        if replaced := self._entries.pop(key, None):
            self._left += replaced[1]
        self._entries[key] = (value, weight)
        self._left -= weight
        while self._left < 0:
            _, (_, freed) = self._entries.popitem(last=False)
            self._left += freed


class CheckedDocument(NamedTuple):
    """A parsed document, the errors for which it is refused, and the names of its operations that use introspection."""

    document: DocumentNode
    errors: Sequence[GraphQLError] = ()
    introspections: Collection[str | None] = ()


class DocumentChecks:
    """Parses documents, and checks them against the limits and the schema.

    trusted: the only documents that may run, by their hash; None when any document may.
    """

    def __init__(self, settings: Settings, schema: GraphQLSchema, secret_fields: frozenset[str]) -> None:
        """Raises ValueError when a trusted document would be refused."""
        self._schema = schema
        self._settings = settings
        self._limits = DocumentLimits(settings, secret_fields)
        self._rules: Sequence[Rule] = (*RULES, MaybeNullValidationRule, OneOfInputValidationRule)
        if not settings.introspection:
            self._rules = (*self._rules, NoSchemaIntrospectionCustomRule)
        self._valid: WeighedCache[CheckedDocument] = WeighedCache(_CACHED_CHARACTERS)
        self.trusted = load_trusted_documents(settings.trusted_documents) if settings.trusted_documents else None
        for document_id, text in (self.trusted or {}).items():
            try:
                errors = self.check(text).errors
            except GraphQLError as error:
                errors = [error]
            if errors:
                raise ValueError(f"The trusted document {document_id:.80} can't run: {errors[0].message}")

    def check(self, text: str) -> CheckedDocument:
        """Parse and check a document. Raises GraphQLError when it is too long or can't be parsed."""
        if known := self._valid.get(text):
            return known
        self._limits.check_length(text)
        document = parse(text, max_tokens=self._settings.max_query_tokens)
        # The limits come first, since some rules take more time than they do.
        errors = self._limits.errors(document) or self.errors_by(self._rules, document)
        if errors:
            return CheckedDocument(document, errors)
        checked = CheckedDocument(document, introspections=_introspections(document))
        self._valid.put(text, checked, len(text))
        return checked

    def errors_by(self, rules: Sequence[Rule], document: DocumentNode) -> list[GraphQLError]:
        """The first errors of a document by these rules of validation."""
        return validate(self._schema, document, rules, hide_suggestions=not self._settings.introspection)


def _introspections(document: DocumentNode) -> frozenset[str | None]:
    return frozenset(
        operation_name(definition)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        and INTROSPECTION_FIELDS & {*root_fields(document, definition)}
    )


def operation_name(operation: OperationDefinitionNode) -> str | None:
    """The name of an operation, or None."""
    return operation.name.value if operation.name else None


def load_trusted_documents(file: Path) -> Mapping[str, str]:
    """The documents of a manifest by their hash, as graphql-codegen's client preset or Apollo's generator writes it.

    Raises ValueError for a file of another format, and OSError when it can't be read.
    """
    try:
        documents = json.loads(file.read_text("utf-8"))
        if isinstance(documents, dict) and "operations" in documents:
            documents = {operation["id"]: operation["body"] for operation in documents["operations"]}
    except (ValueError, TypeError, KeyError):
        documents = None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise ValueError(f"{file} is no manifest of trusted documents: a JSON object of documents by their hash")
    return {bare_hash(document_id): text for document_id, text in documents.items()}


def bare_hash(document_id: str) -> str:
    """A document's id without the algorithm, which some tools write before the hash (GraphQL over HTTP, appendix A)."""
    return document_id.removeprefix("sha256:")

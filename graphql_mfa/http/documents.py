"""Checks of documents before they run, a cache of valid ones, and the trusted documents."""

import json
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    parse,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_mfa.http.limits import INTROSPECTION_FIELDS, DocumentLimits, root_fields
from graphql_mfa.http.validation import RULES, Rule, validate
from graphql_mfa.settings import Settings

V = TypeVar("V")

# A parsed document takes up to 150 bytes for each of its characters.
_CACHED_CHARACTERS = 100_000


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

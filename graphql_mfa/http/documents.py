"""Checks of documents before they run, a cache of valid ones, and the trusted documents.

graphql-core's `validate` reports 100 errors, each with suggested names, and compares up to half a million pairs of
fields, so that a document of 2 KB can block the event loop for a third of a second.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    ParallelVisitor,
    SelectionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    ValueNode,
    parse,
    specified_rules,
    visit,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS
from graphql.validation.rules import ASTValidationRule
from graphql.validation.validate import ValidationAbortedError, query_document_keys_to_validate
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_mfa.http.public_errors import ErrorCode
from graphql_mfa.settings import Settings
from graphql_mfa.types.errors import PublicError

V = TypeVar("V")

_INTROSPECTION_FIELDS = frozenset({"__schema", "__type"})

_MAX_DEFINITIONS = 100
_MAX_ALIASES = 30
_MAX_ROOT_FIELDS = 10
_MAX_DIRECTIVES = 30
_MAX_INTROSPECTIONS = 2
_MAX_VALUES = 200
_MAX_EXPANDED_NODES = 2000
_CHARACTERS_PER_TOKEN = 14  # usual documents have 6 to 10
# Lists of the schema's types and fields. Nested ones multiply: 300 characters could select megabytes.
_TYPE_LISTS = {"fields", "inputFields", "interfaces", "possibleTypes"}
_NAMES = {"name", "alias", "description", "type", "type_condition"}
_CHILDREN = {kind: tuple(key for key in keys if key not in _NAMES) for kind, keys in QUERY_DOCUMENT_KEYS.items()}
_CACHED_CHARACTERS = 100_000  # a parsed document takes up to 150 bytes for each
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
    pass


class _Context(ValidationContext):
    """Collects errors. Only the first two suggest names, since a suggestion computes the distance to many names."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, *, hide_suggestions: bool) -> None:
        self.errors: list[GraphQLError] = []
        self.type_info = TypeInfo(schema)
        super().__init__(schema, document, self.type_info, self.errors.append, hide_suggestions)

    @property
    def hide_suggestions(self) -> bool:
        return super().hide_suggestions or len(self.errors) >= _ERRORS_WITH_SUGGESTIONS

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(error)
        if len(self.errors) == _MOST_ERRORS:
            raise _EnoughError


class WeighedCache(Generic[V]):
    """An LRU cache that is bounded by the total weight of its entries, since clients choose how large each one is."""

    def __init__(self, capacity: int) -> None:
        """capacity: in the unit of the callers' weights."""
        self._left = capacity
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
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


@dataclass(slots=True)
class Size:
    """The size of a selection set, with its fragments expanded.

    others: whether a root field is neither introspection nor `__typename`. introspections: introspection fields, and
    the aliases in them. type_lists: how deep lists of types and fields are nested; nested_introspection: whether they
    are nested in an introspection field. secret_fields: fields that take a guessable secret. nodes: the AST's nodes,
    without names and types.
    """

    levels: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    others: bool = False
    introspections: int = 0
    type_lists: int = 0
    nested_introspection: bool = False
    secret_fields: int = 0
    nodes: int = 0

    def add(self, other: "Size") -> None:
        self.levels = max(self.levels, other.levels)
        self.aliases += other.aliases
        self.directives += other.directives
        self.root_fields += other.root_fields
        self.others |= other.others
        self.introspections += other.introspections
        self.type_lists = max(self.type_lists, other.type_lists)
        self.nested_introspection |= other.nested_introspection
        self.secret_fields += other.secret_fields
        self.nodes += other.nodes


def _nodes(definition: Node) -> Iterator[Node]:
    """The nodes of a definition, without names and types."""
    left = [definition]
    while left:
        node = left.pop()
        yield node
        for key in _CHILDREN.get(node.kind, ()):
            child = getattr(node, key)
            if isinstance(child, Node):
                left.append(child)
            elif child:
                left.extend(child)


class _Measure:
    """Measures the definitions of a document. The size of each fragment is computed once."""

    def __init__(self, document: DocumentNode, secret_fields: frozenset[str]) -> None:
        self._secret_fields = secret_fields
        self.definitions = document.definitions
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        # Keyed by identity, since the hash of a node includes all nodes below it.
        kinds = {id(definition): Counter(map(type, _nodes(definition))) for definition in document.definitions}
        self._nodes = {key: counted.total() for key, counted in kinds.items()}
        self.written = sum(kinds.values(), Counter[type[Node]]())

    @cached_property
    def operations(self) -> list[tuple[str | None, Size]]:
        """The operations by name. Raises RecursionError."""
        return [
            (operation_name(definition), self._definition(definition))
            for definition in self.definitions
            if isinstance(definition, OperationDefinitionNode)
        ]

    def _definition(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Size:
        size = self._selections(node.selection_set)
        size.directives += len(node.directives or ())
        size.nodes += self._nodes[id(node)]
        return size

    def _selections(self, selection_set: SelectionSetNode | None) -> Size:
        total = Size()
        for selection in selection_set.selections if selection_set else ():
            total.add(self._selection(selection))
        return total

    def _selection(self, node: SelectionNode) -> Size:
        directives = len(node.directives or ())
        if isinstance(node, FragmentSpreadNode | InlineFragmentNode):
            size = Size(directives=directives)
            size.add(
                self._fragment(node.name.value)
                if isinstance(node, FragmentSpreadNode)
                else self._selections(node.selection_set)
            )
            return size
        field = cast("FieldNode", node)
        inner = self._selections(field.selection_set)
        name = field.name.value
        introspects = name in _INTROSPECTION_FIELDS
        return Size(
            levels=inner.levels + 1,
            aliases=inner.aliases + (field.alias is not None),
            directives=inner.directives + directives,
            root_fields=1,
            others=not introspects and name != "__typename",
            introspections=1 + inner.aliases if introspects else inner.introspections,
            type_lists=inner.type_lists + (name in _TYPE_LISTS),
            nested_introspection=inner.nested_introspection or (introspects and inner.type_lists > 1),
            # At any depth, since a host may nest the mutations in a field of its own.
            secret_fields=inner.secret_fields + (name in self._secret_fields),
            nodes=inner.nodes,
        )

    def _fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # Ends a cycle of fragments, which validation reports.
            self._sizes[name] = Size()
            if fragment := self._fragments.get(name):
                self._sizes[name] = self._definition(fragment)
        return self._sizes[name]


class CheckedDocument(NamedTuple):
    """A parsed document, the errors for which it is refused, and the names of its operations that use introspection."""

    document: DocumentNode
    errors: Sequence[GraphQLError] = ()
    introspections: Collection[str | None] = ()


class DocumentChecks:
    """Checks documents against limits and schema. trusted: those that alone may run, by hash; None when any may."""

    def __init__(self, settings: Settings, schema: GraphQLSchema, secret_fields: frozenset[str]) -> None:
        """Raises ValueError when a trusted document would be refused."""
        self._schema = schema
        self._settings = settings
        self._secret_fields = secret_fields
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
        longest = _CHARACTERS_PER_TOKEN * self._settings.max_query_tokens
        if len(text) > longest:
            message = f"The document is longer than {longest} characters."
            raise PublicError(message, extensions={"code": ErrorCode.GRAPHQL_PARSE_FAILED})
        document = parse(text, max_tokens=self._settings.max_query_tokens)
        measure = _Measure(document, self._secret_fields)
        errors: list[GraphQLError]
        try:
            errors = list(self._limit_errors(measure))
        except RecursionError:
            errors = [PublicError("This operation is too large: it is nested too deep.")]
        # The limits come first, since some rules take more time than they do.
        errors = errors or self._errors(document)
        if errors:
            return CheckedDocument(document, errors)
        checked = CheckedDocument(
            document, introspections={name for name, size in measure.operations if size.introspections}
        )
        self._valid.put(text, checked, len(text))
        return checked

    def _limit_errors(self, measure: _Measure) -> Iterator[PublicError]:
        if len(measure.definitions) > _MAX_DEFINITIONS:
            yield PublicError(f"A document has at most {_MAX_DEFINITIONS} operations and fragments.")
            return
        values = sum(count for kind, count in measure.written.items() if issubclass(kind, ValueNode))
        for found, limit, what in (
            (measure.written[FieldNode], self._settings.max_query_tokens // 4, "fields"),
            (values, _MAX_VALUES, "values"),
        ):
            if found > limit:
                yield PublicError(f"This document has too many {what}: at most {limit}.")
                return
        for _, size in measure.operations:
            for found, limit, what in (
                (size.levels, self._settings.max_query_depth, "levels"),
                (size.aliases, _MAX_ALIASES, "aliases"),
                (size.directives, _MAX_DIRECTIVES, "directives"),
                (size.root_fields, _MAX_ROOT_FIELDS, "root fields"),
                (size.introspections, _MAX_INTROSPECTIONS, "introspections"),
            ):
                if found > limit:
                    yield PublicError(f"This operation has too many {what}: at most {limit}, fragments expanded.")
            if size.introspections and size.others and self._settings.introspection:
                yield PublicError("Introspection is an operation of its own: send other root fields in another one.")
            if size.nested_introspection:
                yield PublicError("Introspection is limited: lists of fields and types can't be nested in each other.")
            if size.secret_fields > 1:
                yield PublicError(
                    "At most one of these fields per operation, aliases and fragments included: "
                    f"{', '.join(sorted(self._secret_fields))}."
                )
        if sum(size.nodes for _, size in measure.operations) > _MAX_EXPANDED_NODES:
            yield PublicError(
                f"The operations of this document are too large together: at most {_MAX_EXPANDED_NODES} fields, "
                "arguments, values, directives and fragments, fragments expanded."
            )

    def _errors(self, document: DocumentNode) -> list[GraphQLError]:
        """The first errors of a document, whose size is within the limits, by the rules of validation."""
        context = _Context(self._schema, document, hide_suggestions=not self._settings.introspection)
        visitor = ParallelVisitor([rule(context) for rule in self._rules])
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


def operation_name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


def load_trusted_documents(file: Path) -> Mapping[str, str]:
    """The documents by hash, from a manifest of graphql-codegen or of Apollo. Raises ValueError and OSError."""
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

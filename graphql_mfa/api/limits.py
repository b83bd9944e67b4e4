"""How large a document may be. Everything here is linear in the document's size: each fragment is walked once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from graphql_mfa.api.public_errors import PublicError
from graphql_mfa.settings import Settings

_MAX_DEFINITIONS = 100
_INTROSPECTION = {"__schema", "__type"}
# Lists of the schema's types and fields. One inside of another multiplies: 300 characters could ask for megabytes.
_TYPE_LISTS = {"fields", "inputFields", "interfaces", "possibleTypes"}


@dataclass(frozen=True)
class Size:
    """What a selection set asks for, with its fragments expanded.

    introspections: looks at the whole schema; an alias inside of one is another. type_lists: how deep lists of
    types and fields are nested in each other; nested_introspection: whether they are so in one of these looks.
    """

    levels: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    introspections: int = 0
    type_lists: int = 0
    nested_introspection: bool = False
    credentials: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(
            max(self.levels, other.levels),
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.root_fields + other.root_fields,
            self.introspections + other.introspections,
            max(self.type_lists, other.type_lists),
            self.nested_introspection or other.nested_introspection,
            self.credentials + other.credentials,
        )


class DocumentLimits:
    """Judges documents by one deployment's settings."""

    def __init__(self, settings: Settings, credential_fields: frozenset[str]) -> None:
        self._settings = settings
        self._credential_fields = credential_fields

    def errors(self, document: DocumentNode) -> list[PublicError]:
        """Why the document is refused; empty when it is not."""
        try:
            return list(self._errors(document))
        except RecursionError:
            return [PublicError("This operation is too large: it is nested too deep.")]

    def _errors(self, document: DocumentNode) -> Iterator[PublicError]:
        if len(document.definitions) > _MAX_DEFINITIONS:
            yield PublicError(f"A document has at most {_MAX_DEFINITIONS} operations and fragments.")
            return
        measure = _Measure(document, self._credential_fields)
        for definition in document.definitions:
            if not isinstance(definition, OperationDefinitionNode):
                continue
            size = measure.definition(definition)
            for found, limit, what in (
                (size.levels, self._settings.max_query_depth, "levels"),
                (size.aliases, self._settings.max_query_aliases, "aliases"),
                (size.directives, self._settings.max_query_directives, "directives"),
                (size.root_fields, self._settings.max_query_root_fields, "root fields"),
                (size.introspections, self._settings.max_query_introspections, "introspections"),
            ):
                if found > limit:
                    yield PublicError(f"This operation has too many {what}: at most {limit}, fragments expanded.")
            if size.nested_introspection:
                yield PublicError("Introspection is limited: ask for no fields or types of fields' or types' types.")
            if size.credentials > 1:
                yield PublicError(
                    "At most one of these fields per operation, aliases and fragments included: "
                    f"{', '.join(sorted(self._credential_fields))}."
                )


class _Measure:
    """Sizes of one document's definitions; each fragment's is kept, so that it is walked once."""

    def __init__(self, document: DocumentNode, credential_fields: frozenset[str]) -> None:
        self._credential_fields = credential_fields
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}

    def definition(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Size:
        size = self._selections(node.selection_set)
        return size + Size(directives=len(node.directives or ()))

    def _selections(self, selection_set: SelectionSetNode | None) -> Size:
        total = Size()
        for selection in selection_set.selections if selection_set else ():
            total += self._selection(selection)
        return total

    def _selection(self, node: SelectionNode) -> Size:
        own = Size(directives=len(node.directives or ()))
        if isinstance(node, FragmentSpreadNode):
            return own + self._fragment(node.name.value)
        if isinstance(node, InlineFragmentNode):
            return own + self._selections(node.selection_set)
        field = cast("FieldNode", node)
        inner = self._selections(field.selection_set)
        name = field.name.value
        is_look = name in _INTROSPECTION
        return Size(
            levels=inner.levels + 1,
            aliases=inner.aliases + (field.alias is not None),
            directives=inner.directives + own.directives,
            root_fields=1,
            introspections=1 + inner.aliases if is_look else inner.introspections,
            type_lists=inner.type_lists + (name in _TYPE_LISTS),
            nested_introspection=inner.nested_introspection or (is_look and inner.type_lists > 1),
            # Inside of another field too: a host may hold our mutations in a namespace of its own.
            credentials=inner.credentials + (name in self._credential_fields),
        )

    def _fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # What stands here while the fragment is walked ends a cycle; another rule reports it.
            self._sizes[name] = Size()
            if fragment := self._fragments.get(name):
                self._sizes[name] = self.definition(fragment)
        return self._sizes[name]

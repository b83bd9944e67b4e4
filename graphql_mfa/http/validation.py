"""Validation of documents with bounded work.

graphql-core's `validate` reports 100 errors, each with suggested names, and compares up to half a million pairs of
fields, so that a document of 2 KB can block the event loop for a third of a second.
"""

from collections.abc import Callable, Sequence

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    specified_rules,
    visit,
)
from graphql.validation.rules import ASTValidationRule
from graphql.validation.validate import ValidationAbortedError, query_document_keys_to_validate

from graphql_mfa.types.errors import PublicError

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

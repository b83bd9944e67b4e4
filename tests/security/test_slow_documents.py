"""Attack: keep the event loop, and so every other client, with one document that the limits let through.

There are documents against each rule of validation, since a rule may compare everything with everything. Each is made
as large as the limits let through, smaller, and as large as they just refuse. A rule without documents fails a test.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import strawberry
from fastapi import FastAPI
from graphql import specified_rules
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_mfa import Settings
from graphql_mfa.api.root import Query
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.mfa import GraphQLMFA
from tests.api_client import Api
from tests.conftest import Connect
from tests.http.requests import POLICY, assert_quiet, function_calls, operation, post

BYTES = 25_000
"""Of an answer that is nothing but errors."""
TOKENS = Settings.model_fields["max_query_tokens"].default
BODY = Settings.model_fields["max_body_bytes"].default

Build = Callable[[int], str]
DOCUMENTS: dict[str, Build] = {}
RULES: dict[str, list[str]] = {}


def against(*rules: str) -> Callable[[Build], Build]:
    """Register a document for these rules: a function of how often the repeated part occurs."""

    def enter(build: Build) -> Build:
        DOCUMENTS[build.__name__] = build
        for rule in rules:
            RULES.setdefault(rule, []).append(build.__name__)
        return build

    return enter


def times(count: int, template: str) -> str:
    """The template again and again, with the number in place of every `#`."""
    return " ".join(template.replace("#", str(number)) for number in range(count))


# ------------------------------------------------------------------------------------------------------------ fields


@against("FieldsOnCorrectTypeRule")
def unknown_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'recoveryCodesLef#')} }} }}"


@against("FieldsOnCorrectTypeRule")
def unknown_fields_of_a_union(count: int) -> str:
    """For these, members of the union are suggested."""
    return f"mutation {{ logout {{ {times(count, 'a#: sessionsEnded')} }} }}"


@against("FieldsOnCorrectTypeRule")
def a_long_unknown_field(count: int) -> str:
    return f"{{ me {{ {'a' * count} }} }}"


@against("ScalarLeafsRule")
def leaves_with_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'id { a }')} }} }}"


@against("ScalarLeafsRule")
def objects_without_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'sessions')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'id')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def five_equal_fields(count: int) -> str:
    return f"{{ me {{ sessions {{ {times(count, 'id createdAt lastUsedAt userAgent ipAddress')} }} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_with_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'sessions { id }')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_with_arguments(count: int) -> str:
    return f"{{ me {{ {times(count, 'securityEvents(first: 1) { id }')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def conflicting_fields(count: int) -> str:
    return f"{{ me {{ {times(count, 'a: id a: username')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def conflicting_arguments(count: int) -> str:
    return f"{{ me {{ {times(count, 'securityEvents(first: #) { id }')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_of_fragments(count: int) -> str:
    fragments = times(count, "fragment F# on User { id username createdAt }")
    return f"{{ me {{ {times(count, '...F#')} }} }} {fragments}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_of_unused_fragments(count: int) -> str:
    return f"{POLICY} fragment F on User {{ {times(count, 'id ...F')} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_of_inline_fragments(count: int) -> str:
    return f"{{ me {{ {times(count, '... { id } ... on User { id }')} }} }}"


@against("OverlappingFieldsCanBeMergedRule")
def equal_fields_on_every_level(count: int) -> str:
    """Each level twice, so that every pair leads to four."""
    selection = "name"
    for _ in range(min(count, 7)):
        selection = f"ofType {{ {selection} }} ofType {{ {selection} }}"
    return f'{{ __type(name: "User") {{ {selection} {times(max(0, count - 7), "name")} }} }}'


@against("MaxIntrospectionDepthRule")
def fragments_within_introspection(count: int) -> str:
    fragments = (
        " ".join(f"fragment F{number} on __Type {{ ofType {{ ...F{number + 1} }} }}" for number in range(count))
        + f"fragment F{count} on __Type {{ name }}"
    )
    return f'{{ a: __type(name: "User") {{ ...F0 }} b: __schema {{ types {{ ...F0 }} }} }} {fragments}'


@against("MaxIntrospectionDepthRule")
def introspection_in_depth(count: int) -> str:
    return f"{{ __schema {{ types {'{ fields { type ' * count}{{ name }}{'} }' * count} }} }}"


# --------------------------------------------------------------------------------------------------------- operations


@against("UniqueOperationNamesRule", "LoneAnonymousOperationRule")
def operations_of_one_name(count: int) -> str:
    return times(count, "query Q { me { id } }")


@against("LoneAnonymousOperationRule")
def operations_without_a_name(count: int) -> str:
    return times(count, "{ me { id } }")


@against("KnownOperationTypesRule", "SingleFieldSubscriptionsRule")
def subscriptions(count: int) -> str:
    return times(count, "subscription S# { me policy __typename ...F }") + " fragment F on Subscription { a b c }"


@against("ExecutableDefinitionsRule")
def definitions_of_types(count: int) -> str:
    return f"{POLICY} {times(count, 'type T# { a: Int } directive @d# on FIELD')}"


@against("ExecutableDefinitionsRule", "KnownTypeNamesRule")
def a_definition_of_many_fields(count: int) -> str:
    return f"{POLICY} type T {{ {times(count, 'a#: B#')} }}"


@against("KnownTypeNamesRule", "VariablesAreInputTypesRule")
def variables_of_unknown_types(count: int) -> str:
    return f"query ({times(count, '$v#: RegisterUserInputResult#')}) {POLICY}"


@against("VariablesAreInputTypesRule")
def variables_of_output_types(count: int) -> str:
    return f"query ({times(count, '$v#: User')}) {POLICY}"


@against("VariablesAreInputTypesRule")
def a_variable_of_lists(count: int) -> str:
    return f"query ($v: {'[' * count}Int{']' * count}) {POLICY}"


@against("UniqueVariableNamesRule")
def variables_of_one_name(count: int) -> str:
    return f"query ({times(count, '$v: Int')}) {POLICY}"


@against("NoUnusedVariablesRule")
def unused_variables(count: int) -> str:
    return f"query ({times(count, '$v#: Int')}) {POLICY}"


@against("NoUndefinedVariablesRule")
def undefined_variables(count: int) -> str:
    return f"{{ policy {{ {times(count, 'a#: issuer @include(if: $v#)')} }} }}"


@against("NoUndefinedVariablesRule", "NoUnusedVariablesRule", "VariablesInAllowedPositionRule")
def variables_of_many_operations(count: int) -> str:
    """Each operation spreads all fragments."""
    operations = times(count, "query Q#($v: [String!]) { ...F }")
    return f"{operations} fragment F on Query {{ tagged(tags: [{times(count * 2, '$v')}]) }}"


@against("NoUndefinedVariablesRule", "NoUnusedVariablesRule", "NoUnusedFragmentsRule")
def fragments_of_many_operations(count: int) -> str:
    """Each operation begins somewhere else, and reaches all fragments but those before."""
    operations = times(count, "query Q# { ...F# }")
    chain = "".join(f"fragment F{number} on Query {{ ...F{number + 1} }}" for number in range(count))
    return f"{operations} {chain} fragment F{count} on Query {{ policy {{ {times(count * 2, 'issuer')} }} }}"


@against("VariablesInAllowedPositionRule")
def variables_in_the_wrong_position(count: int) -> str:
    return f"query ($v: Int) {{ tagged(tags: [{times(count, '$v')}]) }}"


# ---------------------------------------------------------------------------------------------------------- fragments


@against("KnownFragmentNamesRule")
def unknown_fragments(count: int) -> str:
    return f"{{ me {{ {times(count, '...F#')} }} }}"


@against("UniqueFragmentNamesRule")
def fragments_of_one_name(count: int) -> str:
    return f"{{ ...F }} {times(count, 'fragment F on Query { policy { issuer } }')}"


@against("NoUnusedFragmentsRule")
def unused_fragments(count: int) -> str:
    return f"{POLICY} {times(count, 'fragment F# on User { id }')}"


@against("NoFragmentCyclesRule")
def fragments_in_circles(count: int) -> str:
    """Each fragment spreads every other one."""
    side = max(1, int(count**0.5))
    spreads = " ".join(f"...F{number}" for number in range(side))
    return f"{{ ...F0 }} {times(side, f'fragment F# on Query {{ {spreads} }}')}"


@against("NoFragmentCyclesRule")
def a_circle_of_fragments(count: int) -> str:
    fragments = " ".join(f"fragment F{number} on Query {{ ...F{(number + 1) % count} }}" for number in range(count))
    return f"{{ ...F0 }} {fragments}"


@against("FragmentsOnCompositeTypesRule", "PossibleFragmentSpreadsRule")
def fragments_on_scalars(count: int) -> str:
    return f"{{ me {{ {times(count, '... on String { id }')} }} }}"


@against("PossibleFragmentSpreadsRule")
def fragments_that_never_apply(count: int) -> str:
    return f"mutation {{ logout {{ {times(count, '... on UserError { ... on User { id } }')} }} }}"


@against("KnownTypeNamesRule")
def fragments_on_unknown_types(count: int) -> str:
    return f"{{ me {{ {times(count, '... on registeruserinputresultconfirm# { id }')} }} }}"


@against("OverlappingFieldsCanBeMergedRule", "NoFragmentCyclesRule")
def fragments_that_double(count: int) -> str:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(count))
    return f"{{ ...F0 }} {chain} fragment F{count} on Query {{ policy {{ issuer }} }}"


# --------------------------------------------------------------------------------------------------------- directives


@against("KnownDirectivesRule")
def unknown_directives(count: int) -> str:
    return f"{{ me {{ id {times(count, '@a#')} }} }}"


@against("KnownDirectivesRule", "UniqueDirectivesPerLocationRule")
def directives_of_an_unused_fragment(count: int) -> str:
    return f"{POLICY} fragment F on User {times(count, '@skip(if: true)')} {{ id }}"


@against("UniqueDirectivesPerLocationRule")
def equal_directives(count: int) -> str:
    return f"query ($v: Int {times(count, '@skip(if: true)')}) {{ me {{ id }} }}"


@against(
    "DeferStreamDirectiveOnRootField",
    "DeferStreamDirectiveOnValidOperationsRule",
    "DeferStreamDirectiveLabel",
    "StreamDirectiveOnListField",
)
def deferred_fragments(count: int) -> str:
    return "{ " + times(count, '... @defer(label: "a") { me { id @stream } }') + " }"


@against("DeferStreamDirectiveOnValidOperationsRule")
def deferred_fragments_of_many_operations(count: int) -> str:
    return f"{times(count, 'query Q# { ...F }')} fragment F on Query {{ {times(count, '...F @defer')} }}"


# ---------------------------------------------------------------------------------------------------------- arguments


@against("KnownArgumentNamesRule")
def unknown_arguments(count: int) -> str:
    return f"{{ me {{ securityEvents({times(count, 'firs#: 1')}) {{ id }} }} }}"


@against("KnownArgumentNamesRule")
def unknown_arguments_of_directives(count: int) -> str:
    return f"{{ me {{ id @skip(if: true, {times(count, 'if#: true')}) }} }}"


@against("UniqueArgumentNamesRule")
def equal_arguments(count: int) -> str:
    return f"{{ me {{ securityEvents({times(count, 'first: 1')}) {{ id }} }} }}"


@against("ProvidedRequiredArgumentsRule")
def missing_arguments(count: int) -> str:
    return f"mutation {{ {times(count, 'a#: renameTotpDevice { __typename }')} }}"


@against("ValuesOfCorrectTypeRule")
def unknown_input_fields_beside_a_long_list(count: int) -> str:
    """An error for each, which prints all of it."""
    return f"mutation {{ login(input: {{ {times(count, 'usernam#: 1')} z: [{times(count, '1')}] }}) {{ __typename }} }}"


@against("ValuesOfCorrectTypeRule")
def wrong_items(count: int) -> str:
    return f"{{ tagged(tags: [{times(count, '1')}]) }}"


@against("ValuesOfCorrectTypeRule")
def wrong_default(count: int) -> str:
    return f"query ($v: [String!] = [{times(count, '{a: 1}')}]) {{ tagged(tags: $v) }}"


@against("ValuesOfCorrectTypeRule")
def wrong_values_of_directives(count: int) -> str:
    return f"query ($v: Int @skip(if: [{times(count, '1')}])) {POLICY}"


@against("ValuesOfCorrectTypeRule")
def unknown_enum_values(count: int) -> str:
    return f"{{ factors(of: [{times(count, 'RECOVERY_COD#')}]) }}"


@against("ValuesOfCorrectTypeRule", "UniqueInputFieldNamesRule")
def nested_objects(count: int) -> str:
    return f"{{ pick(by: {'{inner: ' * count}{{id: 1}}{'}' * count}) }}"


@against("ValuesOfCorrectTypeRule")
def a_long_string(count: int) -> str:
    return f'{{ me {{ securityEvents(first: "{"a" * count}") {{ id }} }} }}'


@against("ValuesOfCorrectTypeRule")
def a_long_block_string(count: int) -> str:
    lines = "a\n" * count
    return f'{{ me {{ securityEvents(first: """{lines}""") {{ id }} }} }}'


@against("UniqueInputFieldNamesRule")
def equal_input_fields(count: int) -> str:
    return "mutation { login(input: { " + times(count, 'username: "a"') + " }) { __typename } }"


@against("OneOfInputValidationRule")
def more_than_one(count: int) -> str:
    return f"{{ {times(count, 'a#: pick(by: {id: 1, name: null})')} }}"


@against("OneOfInputValidationRule")
def many_in_one(count: int) -> str:
    return f"{{ pick(by: {{ {times(count, 'id: 1')} }}) }}"


@against("MaybeNullValidationRule")
def null_where_nothing_may_be(count: int) -> str:
    return f"{{ pickMany(by: [{times(count, '{maybe: null}')}]) }}"


# --------------------------------------------------------------------------------------------------- beside the rules

LEXER = "the lexer and the parser"


@against(LEXER)
def spaces(count: int) -> str:
    return " \n" * count + POLICY


@against(LEXER)
def errors_behind_many_lines(count: int) -> str:
    """Each error finds the line that it is in."""
    return "\n" * count + "{ a b c d e f }"


@against(LEXER)
def comments(count: int) -> str:
    return "# \n" * count + POLICY


@against(LEXER)
def a_long_number(count: int) -> str:
    return f"{{ me {{ securityEvents(first: {'9' * count}) {{ id }} }} }}"


@against(LEXER)
def names_that_differ(count: int) -> str:
    return f"{{ {times(count, 'a#: a# { a# }')} }}"


@against(LEXER)
def a_document_that_is_never_closed(count: int) -> str:
    return "{ me " * count


EXECUTION = "execution"


@against(EXECUTION)
def aliases_of_root_fields(count: int) -> str:
    return f"{{ {times(count, 'a#: policy { issuer factors }')} }}"


@against(EXECUTION)
def many_arguments(count: int) -> str:
    return "{ tagged(tags: [" + times(count, '"a"') + "]) }"


# ----------------------------------------------------------------------------------------------------------- the test


@strawberry.input(one_of=True)
class Pick:
    """One of several."""

    id: strawberry.Maybe[int]
    name: strawberry.Maybe[str]
    inner: strawberry.Maybe["Pick"]


@strawberry.input
class Perhaps:
    """With a field that may be left out, and not be null."""

    maybe: strawberry.Maybe[int]


@strawberry.type(name="Query")
class HostQuery(Query):
    """A host's, with the kinds of input that this API has none of."""

    @strawberry.field
    def tagged(self, tags: list[str]) -> int:
        return len(tags)

    @strawberry.field
    def factors(self, of: list[FactorKind]) -> int:
        return len(of)

    @strawberry.field
    def pick(self, by: Pick) -> bool:
        return bool(by)

    @strawberry.field
    def pick_many(self, by: list[Perhaps]) -> int:
        return len(by)


@pytest.fixture
async def host(make_settings: Callable[..., Settings], connect: Connect) -> AsyncIterator[Api]:
    """A client of an application with that query."""
    mfa = GraphQLMFA(make_settings(), query=HostQuery)
    app = FastAPI()
    app.include_router(mfa.router())
    async with mfa.lifespan():
        yield connect(app)


def too_large(response: httpx.Response) -> bool:
    """Whether a limit refused it."""
    errors = response.json().get("errors", [])
    words = ("at most", "tokens", "longer than", "nested too deep")
    return response.status_code == 413 or any(word in error["message"] for word in words for error in errors)


async def measured(api: Api, content: bytes, caplog: pytest.LogCaptureFixture) -> httpx.Response:
    """The response is short and cheap, whether the document is valid or not."""
    with function_calls():
        response = await post(api, content)
    assert response.status_code in {200, 400, 413}, response.text[:300]
    assert "Internal server error." not in response.text
    assert len(response.content) < BYTES
    assert_quiet(caplog)
    return response


# ---------------------------------------------------------------------------------------------------------- variables

RESET = "mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { __typename } }"
PICK = "query ($input: [Perhaps!]!) { pickMany(by: $input) }"
VARIABLES: dict[str, tuple[str, Callable[[int], Any]]] = {
    "unknown members": (RESET, lambda count: {f"newPasswor{number}": 1 for number in range(count)}),
    "unknown members with long values": (RESET, lambda count: {f"recoveryCod{n}": "x" * 60 for n in range(count)}),
    "unknown members with objects": (
        RESET,
        lambda count: {f"recoveryCod{n}": {f"{of}": [1] * 4 for of in range(10)} for n in range(count)},
    ),
    "a list for an object": (RESET, lambda count: [{"username": number} for number in range(count)]),
    "nested lists": (RESET, lambda count: [[[[1]]]] * count),
    "a long string": (RESET, lambda count: "x" * count),
    "empty objects": (PICK, lambda count: [{}] * count),
    "wrong members of objects": (PICK, lambda count: [{"mayb": 1}] * count),
}


@pytest.mark.parametrize(("query", "build"), VARIABLES.values(), ids=VARIABLES)
async def test_variables_at_the_limits_are_cheap(
    host: Api, caplog: pytest.LogCaptureFixture, query: str, build: Callable[[int], Any]
) -> None:
    await post(host, operation(query, variables={"input": []}))  # warm-up, so that parsing the document is not measured

    def length(count: int) -> int:
        return len(operation(query, variables={"input": build(count)}))

    count = 100 * BODY // (length(200) - length(100))
    while length(count) > BODY:
        count = count * 3 // 4
    while (await measured(host, operation(query, variables={"input": build(count)}), caplog)).status_code == 400:
        count = count * 3 // 4
    assert count > 1


def test_every_rule_has_documents() -> None:
    rules = {*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule}
    assert {rule.__name__ for rule in rules} == RULES.keys() - {LEXER, EXECUTION}


@pytest.mark.parametrize("build", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_document_at_the_limits_is_cheap(host: Api, caplog: pytest.LogCaptureFixture, build: Build) -> None:
    fits, refused = 1, 32 * TOKENS
    while len(operation(build(refused))) > BODY:
        refused //= 2
    while refused - fits > 1:
        middle = (fits + refused) // 2
        # Another text than the one that is measured, which no cache may know.
        if too_large(await post(host, operation(build(middle) + " "))):
            refused = middle
        else:
            fits = middle

    assert fits > 1
    # The dearest may be a smaller one, where a cheap error does not end the validation early.
    for count in {min(10, fits), fits // 2, fits}:
        assert not too_large(await measured(host, operation(build(count)), caplog))
    await measured(host, operation(build(refused)), caplog)

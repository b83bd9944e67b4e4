"""Limits on documents: allowed up to the limit, refused beyond it, and every response within bounded work."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise

import pytest
from fastapi import FastAPI
from graphql import Lexer, Source, TokenKind, get_introspection_query

from graphql_mfa import Settings
from tests.api_client import Api
from tests.conftest import Connect
from tests.http.requests import (
    JSON,
    MOST_CALLS,
    POLICY,
    assert_headers,
    assert_quiet,
    function_calls,
    messages,
    operation,
    post,
)

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


def work_for(document: str) -> int:
    """The function calls that a document may take where tokens are not limited, for each of its characters."""
    return MOST_CALLS + 60 * len(document)


def limit(name: str) -> int:
    """The default of a setting."""
    value: int = Settings.model_fields[f"max_query_{name}"].default
    return value


async def assert_border(
    api: Api, build: Callable[[int], str], at_most: int, what: str, name: str | None = None
) -> None:
    """Assert that n are allowed, and that one more is refused with a message that names the limit."""
    allowed = await post(api, operation(build(at_most), operationName=name))
    assert set(allowed.json()) == {"data"}, allowed.text
    assert allowed.json()["data"]

    refused = await post(api, operation(build(at_most + 1), operationName=name))
    (message,) = messages(refused)
    assert what in message
    assert str(at_most) in message
    assert refused.status_code == 200
    assert_headers(refused)
    strict = await post(
        api, operation(build(at_most + 1), operationName=name), JSON | {"Accept": "application/graphql-response+json"}
    )
    assert strict.status_code == 400
    assert messages(strict) == [message]


# ---------------------------------------------------------------------------------------------------------- the borders


def deep(levels: int) -> str:
    """Types of types: __type, then ofType again and again, then a name."""
    return '{ __type(name: "User") ' + "{ ofType " * (levels - 2) + "{ name }" + " }" * (levels - 2) + " }"


def deep_in_inline_fragments(levels: int) -> str:
    """Inline fragments are no levels of the answer."""
    return deep(levels).replace("{ ofType", "{ ... { ... on __Type { ofType").replace(" }", " } } }", levels - 2)


def deep_in_fragments(levels: int) -> str:
    """Half of the levels stand in the operation, half in fragments of fragments."""
    half = (levels - 2) // 2
    outer = '{ __type(name: "User") ' + "{ ofType " * half + "{ ...A }" + " }" * half + " }"
    rest = levels - 2 - half
    inner = "fragment A on __Type { ...B } fragment B on __Type { ...C } fragment C on __Type "
    return outer + inner + "{ ofType " * rest + "{ name }" + " }" * rest


def deep_after_a_shallow_use(levels: int) -> str:
    """The fragment is used near the root first: the cached size must not depend on its position."""
    document = deep_in_fragments(levels)
    return document.replace("{ __type", '{ shallow: __type(name: "User") { ...A } __type', 1)


@pytest.mark.parametrize(
    "build", [deep, deep_in_inline_fragments, deep_in_fragments, deep_after_a_shallow_use], ids=lambda f: f.__name__
)
async def test_limit_of_levels(api: Api, build: Callable[[int], str]) -> None:
    await assert_border(api, build, limit("depth"), "levels")


def aliases(count: int) -> str:
    return "{ policy { " + " ".join(f"a{number}: issuer" for number in range(count)) + " } }"


def aliases_in_a_fragment(count: int) -> str:
    half = count // 2
    first = " ".join(f"a{number}: issuer" for number in range(half))
    second = " ".join(f"b{number}: issuer" for number in range(count - half))
    return f"{{ policy {{ ...F ... {{ {second} }} }} }} fragment F on AuthPolicy {{ {first} }}"


def aliases_of_a_fragment_used_twice(count: int) -> str:
    """A fragment counts as often as it is used."""
    half, odd = count // 2, count % 2
    fields = " ".join(f"a{number}: issuer" for number in range(half))
    more = "c: issuer" if odd else ""
    return f"{{ policy {{ ...F ...F {more} }} }} fragment F on AuthPolicy {{ {fields} }}"


def aliases_on_every_level(count: int) -> str:
    fields = " ".join(f"a{number}: otpDigits" for number in range(count - 1))
    return f"{{ p: policy {{ {fields} }} }}"


@pytest.mark.parametrize(
    "build",
    [aliases, aliases_in_a_fragment, aliases_of_a_fragment_used_twice, aliases_on_every_level],
    ids=lambda f: f.__name__,
)
async def test_limit_of_aliases(api: Api, build: Callable[[int], str]) -> None:
    await assert_border(api, build, 30, "aliases")


def root_fields(count: int) -> str:
    return "{ " + " ".join(f"a{number}: policy {{ issuer }}" for number in range(count)) + " }"


def equal_root_fields(count: int) -> str:
    """Merged when they run, but counted as they stand."""
    return "{ " + "policy { issuer } " * count + " }"


def root_fields_in_fragments(count: int) -> str:
    fields = "policy { issuer } " * (count - 2)
    return f"{{ ...F ... {{ me {{ id }} }} ... on Query {{ me {{ id }} }} }} fragment F on Query {{ {fields} }}"


def root_fields_of_a_fragment_used_again_and_again(count: int) -> str:
    return "{ " + "...F " * count + " } fragment F on Query { policy { issuer } }"


@pytest.mark.parametrize(
    "build",
    [root_fields, equal_root_fields, root_fields_in_fragments, root_fields_of_a_fragment_used_again_and_again],
    ids=lambda f: f.__name__,
)
async def test_limit_of_root_fields(api: Api, build: Callable[[int], str]) -> None:
    await assert_border(api, build, 10, "root fields")


def directives(count: int) -> str:
    return "{ policy { " + "issuer @include(if: true) " * count + " } }"


def directives_on_fragments(count: int) -> str:
    spreads = "...F @include(if: true) " * (count - 3)
    inline = "... @skip(if: false) { issuer } " * 2
    return f"{{ policy {{ {spreads} {inline} issuer @skip(if: false) }} }} fragment F on AuthPolicy {{ issuer }}"


@pytest.mark.parametrize("build", [directives, directives_on_fragments], ids=lambda f: f.__name__)
async def test_limit_of_directives(api: Api, build: Callable[[int], str]) -> None:
    await assert_border(api, build, 30, "directives")


def introspections(count: int) -> str:
    types = " ".join("__schema { queryType { name } }" for _ in range(count - 1))
    return f'{{ {types} ...F }} fragment F on Query {{ __type(name: "User") {{ name }} }}'


def aliases_in_an_introspection(count: int) -> str:
    fields = " ".join(f"a{number}: queryType {{ name }}" for number in range(count - 1))
    return f"{{ __schema {{ {fields} queryType {{ kind }} }} }}"


@pytest.mark.parametrize("build", [introspections, aliases_in_an_introspection], ids=lambda f: f.__name__)
async def test_limit_of_introspections(api: Api, build: Callable[[int], str]) -> None:
    await assert_border(api, build, 2, "introspections")


def tokens(count: int) -> str:
    """So many tokens: fifteen for each of many operations, the rest in the first."""
    others = (count - 20) // 15
    fields = "id " * (count - 15 * others - 7)
    rest = " ".join(f"query Q{number} {{ me @skip(if: false) {{ id }} }}" for number in range(others))
    return f"query Q {{ me {{ {fields}}} }} {rest}"


async def test_limit_of_tokens(api: Api) -> None:
    for count in (limit("tokens"), limit("tokens") + 1):
        lexer, found = Lexer(Source(tokens(count))), 0
        while lexer.advance().kind is not TokenKind.EOF:
            found += 1
        assert found == count

    await assert_border(api, tokens, limit("tokens"), "tokens", "Q")


def fields(count: int) -> str:
    """Ten in each operation but the first."""
    others, rest = divmod(count - 10, 10)
    names = "issuer registrationOpen usernameMinLength usernameMaxLength passwordMinLength passwordMaxLength otpDigits"
    ten = f"policy {{ {names} otpPeriod factors }}"
    first = f"policy {{ {names} {'otpPeriod ' * rest} }} policy {{ factors }}"
    return f"query Q {{ {first} }} " + " ".join(f"query Q{number} {{ {ten} }}" for number in range(others))


async def test_limit_of_fields(api: Api) -> None:
    await assert_border(api, fields, 250, "fields", "Q")


def values(count: int) -> str:
    """Ten in each operation but the first."""
    others, rest = divmod(count, 10)
    operations = [10] * others + [rest]
    return "query Q { policy { issuer } } " + " ".join(
        f"query Q{number} {{ policy {{ issuer {'otpDigits @skip(if: true) ' * values} }} }}"
        for number, values in enumerate(operations)
    )


def characters(count: int) -> str:
    return POLICY + " " * (count - len(POLICY))


def operations_of_one_fragment(count: int) -> str:
    """Each document selects everything."""
    fragment = f"fragment F on Query {{ policy {{ {'otpDigits ' * 30} }} }}"
    return f"query Q {{ ...F }} {' '.join(f'query Q{number} {{ ...F }}' for number in range(count))} {fragment}"


async def test_operations_that_expand_one_fragment_are_limited_together(api: Api) -> None:
    """Each is small, but rules walk the fragment for each of them."""
    allowed = await post(api, operation(operations_of_one_fragment(50), operationName="Q"))
    refused = await post(api, operation(operations_of_one_fragment(60), operationName="Q"))

    assert allowed.json() == {"data": {"policy": {"otpDigits": 6}}}
    assert messages(refused) == [
        "The operations of this document are too large together: at most 2000 fields, arguments, values, directives "
        "and fragments, fragments expanded."
    ]


def equal_fields(count: int) -> str:
    return f"{{ me {{ {'id ' * count} }} }}"


async def test_fields_of_one_name_are_limited(api: Api) -> None:
    """Each has to be compared with each other one."""
    allowed = await post(api, operation(equal_fields(70)))
    refused = await post(api, operation(equal_fields(80)))

    assert allowed.json() == {"data": {"me": None}}
    assert messages(refused) == ["This document is too large: its fields and fragments have to be compared too often."]


async def test_a_response_has_the_first_five_errors_of_validation(api: Api) -> None:
    """The first two of them suggest names."""
    document = "{ me { " + " ".join(f"usernam{number}" for number in range(9)) + " } }"

    found = messages(await post(api, operation(document)))

    assert [message.partition(".")[0] for message in found] == [
        f"Cannot query field 'usernam{number}' on type 'User'" for number in range(5)
    ]
    assert ["Did you mean" in message for message in found] == [True, True, False, False, False]


def fragments_side_by_side(count: int) -> str:
    """As Apollo and Relay write it: a fragment for each component, all of which select `id` and `__typename`."""
    fragments = " ".join(
        f"fragment F{number} on User {{ __typename id username sessions {{ __typename id ipAddress }} }}"
        for number in range(count)
    )
    return f"{{ me {{ __typename id {' '.join(f'...F{number}' for number in range(count))} }} }} {fragments}"


@pytest.mark.parametrize(
    "document", [fragments_side_by_side(20), get_introspection_query()], ids=["fragments", "introspection"]
)
async def test_documents_of_usual_clients_are_within_the_limits(api: Api, document: str) -> None:
    assert "errors" not in (await post(api, operation(document))).json()


async def test_limit_of_values(run_app: RunApp, connect: Connect) -> None:
    async with run_app(max_query_tokens=2000) as app:
        await assert_border(connect(app), values, 200, "values", "Q")


async def test_limit_of_characters(api: Api) -> None:
    await assert_border(api, characters, 14 * limit("tokens"), "characters")


def definitions(count: int) -> str:
    return "query Q { me { id } } " + " ".join(f"query Q{number} {{ me {{ id }} }}" for number in range(count - 1))


def definitions_of_fragments(count: int) -> str:
    """A chain: each fragment but the last uses the next."""
    names = [f"F{number}" for number in range(count - 1)]
    chain = " ".join(f"fragment {a} on User {{ ...{b} }}" for a, b in pairwise(names))
    return f"query Q {{ me {{ ...F0 }} }} {chain} fragment {names[-1]} on User {{ id }}"


@pytest.mark.parametrize("build", [definitions, definitions_of_fragments], ids=lambda f: f.__name__)
async def test_limit_of_definitions(api: Api, build: Callable[[int], str]) -> None:
    at_most = 100
    allowed = await post(api, operation(build(at_most), operationName="Q"))
    refused = await post(api, operation(build(at_most + 1), operationName="Q"))

    assert allowed.json() == {"data": {"me": None}}
    (message,) = messages(refused)
    assert str(at_most) in message
    assert "fragments" in message


async def test_limits_hold_for_each_operation_by_itself(api: Api) -> None:
    """Ten operations with ten root fields each are not one with a hundred; only one of them runs."""
    document = " ".join(f"query Q{number} {equal_root_fields(10)}" for number in range(10))

    response = await post(api, operation(document, operationName="Q7"))

    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


@pytest.mark.parametrize("yes", [True, False])
async def test_limits_do_not_depend_on_variables(api: Api, yes: bool) -> None:
    """Skipped fields are counted, so the variables don't decide whether a document is refused."""
    fields = " ".join(f"a{number}: issuer @include(if: $yes)" for number in range(29))
    more = " ".join(f"b{number}: issuer" for number in range(2))
    document = f"query ($yes: Boolean!) {{ policy {{ {fields} {more} }} }}"

    response = await post(api, operation(document, variables={"yes": yes}))

    assert "aliases" in messages(response)[0]


async def test_limits_are_those_of_the_settings(run_app: RunApp, connect: Connect) -> None:
    async with run_app(max_query_depth=4, max_query_tokens=200) as app:
        api = connect(app)
        await assert_border(api, deep, 4, "levels")
        await assert_border(api, tokens, 200, "tokens", "Q")
        await assert_border(api, fields, 50, "fields", "Q")


# ------------------------------------------------------------------------------------------------------------- hostile


def doubling(levels: int, on: str, field: str) -> str:
    """Each fragment spreads the next one twice: 2^levels fields in a few hundred characters."""
    fragments = " ".join(f"fragment F{n} on {on} {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{fragments} fragment F{levels} on {on} {{ {field} }}"


def deep_doubling(levels: int) -> str:
    """The same with a level of the answer, and an alias, between."""
    fragments = " ".join(
        f"fragment F{n} on __Type {{ ofType {{ ...F{n + 1} }} again: ofType {{ ...F{n + 1} }} }}" for n in range(levels)
    )
    return f'{{ __type(name: "User") {{ ...F0 }} }} {fragments} fragment F{levels} on __Type {{ name }}'


def overlapping(levels: int) -> str:
    """Doubling without aliases: all of it has to be merged."""
    fragments = " ".join(
        f"fragment F{n} on __Type {{ ofType {{ ...F{n + 1} ...F{n + 1} }} ofType {{ ...F{n + 1} }} }}"
        for n in range(levels)
    )
    return f'{{ __type(name: "User") {{ ...F0 }} }} {fragments} fragment F{levels} on __Type {{ name }}'


def chain(fragments: int, nested: int) -> str:
    """A chain of fragments, each of which nests before it spreads the next."""
    parts = " ".join(
        f"fragment F{n} on __Type {'{ ofType ' * nested}{{ ...F{n + 1} }}{' }' * nested}" for n in range(fragments - 1)
    )
    return f'{{ __type(name: "User") {{ ...F0 }} }} {parts} fragment F{fragments - 1} on __Type {{ name }}'


def chain_of_inline_fragments(fragments: int, nested: int) -> str:
    """No levels of the answer, so only the nesting itself counts."""
    parts = " ".join(
        f"fragment F{n} on __Type {'{ ... ' * nested}{{ ...F{n + 1} }}{' }' * nested}" for n in range(fragments - 1)
    )
    return f'{{ __type(name: "User") {{ ...F0 }} }} {parts} fragment F{fragments - 1} on __Type {{ name }}'


def introspection(levels: int) -> str:
    return "{ __schema { types { " + "fields { type { " * levels + "name" + " } }" * levels + " } } }"


def many_introspections() -> str:
    """As many aliases as there may be, each on the dearest field."""
    fields = "name description isDeprecated args { name description defaultValue type { name } } type { name kind }"
    return "{ __schema { types { " + " ".join(f"a{n}: fields {{ {fields} }}" for n in range(29)) + " } } }"


HOSTILE: dict[str, str] = {
    "2^30 fields in fragments": "{ ...F0 } " + doubling(30, "Query", "policy { issuer }"),
    "2^90 fields in fragments": "{ ...F0 } " + doubling(90, "Query", "policy { issuer }"),
    "2^30 fields below the root": "{ policy { ...F0 } } " + doubling(30, "AuthPolicy", "issuer"),
    "2^18 levels and aliases": deep_doubling(18),
    "2^40 levels and aliases": deep_doubling(40),
    "3^17 overlapping fields": overlapping(17),
    "3^30 overlapping fields": overlapping(30),
    "50,000 equal fields": "{ me { " + "id " * 50_000 + "} }",
    "400 equal fields": "{ me { " + "id " * 400 + "} }",
    "100 equal fields with arguments": "{ __schema { types { fields(includeDeprecated: true) { name } "
    + "fields(includeDeprecated: true) { name } " * 90
    + "} } }",
    "90 conflicting fields": "{ __schema { types { "
    + "".join(f"a: {name} " for name in ("name", "kind") * 45)
    + "} } }",
    "10,000 directives": "{ me { id " + "@a " * 10_000 + "} }",
    "10,000 known directives": "{ me { id " + "@skip(if: true) " * 10_000 + "} }",
    "100 directives": "{ me { id " + "@a " * 100 + "} }",
    "300 directives of the operation": "query " + "@a " * 300 + "{ me { id } }",
    "fragment that spreads itself": "{ ...F } fragment F on Query { ...F }",
    "fragment that spreads itself below": '{ __type(name: "A") { ...F } } fragment F on __Type { ofType { ...F } }',
    "two fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "circle that is not used": "{ me { id } } fragment A on Query { ...B } fragment B on Query { ...A }",
    "circle in a chain": "{ ...F0 } " + doubling(20, "Query", "...F3"),
    "circle of 99 fragments": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 99} }}" for n in range(99)),
    "fragment that is nowhere": "{ ...F }",
    "two fragments of one name": "{ ...F } fragment F on Query { me { id } } fragment F on Query { ...F }",
    "chain of 99 nested fragments": chain(99, 2),
    "chain of 99 fragments nested in themselves": chain_of_inline_fragments(99, 1),
    "chain of 20 deep fragments": chain(20, 15),
    "chain of 60 fragments of inline fragments": chain_of_inline_fragments(60, 3),
    "10,000 operations": "{ me { id } } " * 10_000,
    "10,000 named operations": " ".join(f"query Q{n} {{ me {{ id }} }}" for n in range(10_000)),
    "100 operations": " ".join(f"query Q{n} {{ me {{ id }} }}" for n in range(100)),
    "deep selections": "{ a " * 15_000,
    "deep selections, closed": "{ a " * 10_000 + "}" * 10_000,
    "deep selections within the limit of tokens": "{ a " * 300 + "}" * 300,
    "deep inline fragments within the limit of tokens": "{ ... " * 230 + "{ me { id } }" + "}" * 230,
    "deep lists": "{ me(a: " + "[" * 20_000 + "]" * 20_000 + ") { id } }",
    "deep lists within the limit of tokens": "{ me(a: " + "[" * 400 + "]" * 400 + ") { id } }",
    "deep lists for an input": "mutation { login(input: " + "[" * 400 + "]" * 400 + ") { __typename } }",
    "deep objects within the limit of tokens": "{ me(a: " + "{a: " * 190 + "1" + "}" * 190 + ") { id } }",
    "deep objects for an input": "mutation { login(input: "
    + "{username: " * 190
    + "1"
    + "}" * 190
    + ") { __typename } }",
    "deep type": "query ($a: " + "[" * 400 + "Int" + "]" * 400 + ") { me { id } }",
    "deep default": "query ($a: Int = " + "[" * 400 + "]" * 400 + ") { me { id } }",
    "long name": "{ " + "a" * 60_000 + " }",
    "long alias": "{ " + "a" * 60_000 + ": me { id } }",
    "long string": '{ me(a: "' + "a" * 60_000 + '") { id } }',
    "long block string": '{ me(a: """' + "a\n " * 20_000 + '""") { id } }',
    "long string of escapes": '{ me(a: "' + "\\u0061" * 10_000 + '") { id } }',
    "long string without an end": '{ me(a: "' + "a" * 60_000,
    "long block string without an end": '{ me(a: """' + '\\"""' * 15_000,
    "long number": "{ me(a: " + "9" * 60_000 + ") { id } }",
    "long number with an exponent": "{ me(a: 1e" + "9" * 60_000 + ") { id } }",
    "long number for an input": "mutation { logout(everywhere: " + "9" * 60_000 + ") { __typename } }",
    "long comment": "{ me { id } } #" + "a" * 60_000,
    "30,000 comments": "#\n" * 30_000 + "{ me { id } }",
    "60,000 commas": "," * 60_000 + "{ me { id } }",
    "20,000 byte order marks": "\ufeff" * 20_000 + "{ me { id } }",
    "150 variables": "query (" + " ".join(f"$v{n}: Int" for n in range(150)) + ") { me { id } }",
    "150 equal variables": "query (" + "$v: Int " * 150 + ") { me { id } }",
    "200 unknown variables": "{ " + " ".join(f"me @include(if: $v{n}) {{ id }}" for n in range(10)) + "}",
    "300 unknown fields": "{ me { " + " ".join(f"usernam{n}" for n in range(300)) + " } }",
    "300 long unknown fields": "{ me { " + " ".join("username" * 15 + str(n) for n in range(300)) + " } }",
    "100 unknown arguments": "{ me(" + " ".join(f"a{n}: 1" for n in range(300)) + ") { id } }",
    "300 equal arguments": "{ me(" + "a: 1 " * 300 + ") { id } }",
    "300 equal input fields": "mutation { login(input: {" + 'username: "a" ' * 300 + "}) { __typename } }",
    "introspection of 3 levels": introspection(3),
    "introspection of 8 levels": introspection(8),
    "introspection of possible types": "{ __schema { types { "
    + "possibleTypes { interfaces { " * 8
    + "name"
    + " } }" * 8
    + " } } }",
    "introspection through fragments": "{ __schema { types { ...A } } } "
    "fragment A on __Type { fields { type { ...B } } } "
    "fragment B on __Type { fields { type { ...C } } } fragment C on __Type { fields { type { fields { name } } } }",
    "introspection as often as aliases allow": many_introspections(),
    "introspection at ten roots": "{ " + " ".join(f"a{n}: __schema {{ ...S }}" for n in range(10)) + " } "
    "fragment S on __Schema { types { name fields { name args { name type { ...T } } } } } "
    "fragment T on __Type { name ofType { name ofType { name } } }",
    "everything is skipped": "{ " + "policy @skip(if: true) { issuer } " * 10 + "}",
    "names of Python": "{ __class__ { __init__ { __globals__ } } }",
    "names of JavaScript": "{ __proto__ { constructor toString } }",
    "argument of a fragment": "{ ...F(a: 1) } fragment F($a: Int) on Query { me { id } }",
    "type system definitions": "{ me { id } } type Query { x: Int } directive @x on FIELD schema { query: Query }",
    "descriptions": '"""one""" query A { me { id } }',
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_document(api: Api, caplog: pytest.LogCaptureFixture, document: str) -> None:
    """The response comes soon, and is never a 5xx."""
    with function_calls():
        response = await post(api, operation(document))

    assert response.status_code in {200, 400, 413}, response.text[:200]
    answer = response.json()
    assert set(answer) <= {"data", "errors"}
    for error in answer.get("errors", ()):
        assert error["message"] != "Internal server error."
    assert len(response.content) < 3_000_000
    assert_headers(response)
    assert_quiet(caplog)


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_document_where_tokens_are_not_limited(
    run_app: RunApp, connect: Connect, caplog: pytest.LogCaptureFixture, document: str
) -> None:
    """An operator who allows long documents gets the other limits all the same."""
    async with run_app(max_query_tokens=1_000_000, max_body_bytes=10_000_000) as app:
        with function_calls(work_for(document)):
            response = await post(connect(app), operation(document))

    assert response.status_code in {200, 400}, response.text[:200]
    for error in response.json().get("errors", ()):
        assert error["message"] != "Internal server error."
    assert_quiet(caplog)


async def test_hostile_document_again_and_again(api: Api) -> None:
    """The cached result of a document, its errors too, is the same the second time, and not another document's."""
    first = [(await post(api, operation(document))).content for document in HOSTILE.values()]
    second = [(await post(api, operation(document))).content for document in HOSTILE.values()]

    assert first == second


async def test_hostile_documents_leave_the_server_usable(live_server: str) -> None:
    """A real server gets all of them, and then responds as before."""
    import httpx

    async with httpx.AsyncClient(base_url=live_server, trust_env=False, timeout=30) as http:
        for name, document in HOSTILE.items():
            response = await http.post("/graphql", content=operation(document), headers=JSON)
            assert response.status_code in {200, 400, 413}, name
        healthy = await http.post("/graphql", content=operation(), headers=JSON)

    assert healthy.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}

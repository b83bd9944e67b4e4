"""Errors never repeat a value: it may be a password, and responses are logged, shown and sent to error trackers."""

import json
import re
import string
from typing import Any

import pytest
from graphql import (
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    graphql,
    value_from_ast_untyped,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_mfa.http.public_errors import public_error
from tests.account import document
from tests.api_client import LOGIN, LOGOUT, REGISTER_USER, RESTART_ENROLLMENT, VERIFY_OTP, Api
from tests.http.requests import assert_quiet, messages, operation, post

PROPERTY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)

# Secrets of every kind of value. None of them, nor five characters of one, can be in a message by chance.
UNUSUAL = "QXZJKVWYqxzjkvwy"
WORDS = st.text(UNUSUAL, min_size=8, max_size=24)
TEXTS = st.builds(
    lambda head, odd, tail: head + odd + tail,
    WORDS,
    st.text(st.sampled_from("'\"\\/`$ {}[]()<>:,.!?#%&=+*-_~^|;@\t\n\u00e9\u4e2d\u2028\U0001f600"), max_size=6),
    WORDS,
)
NUMBERS = st.integers(10**9, 10**14) | st.integers(-(10**14), -(10**9)) | st.floats(1e9, 1e300)
SECRETS = TEXTS | NUMBERS


def pieces(secret: object) -> set[str]:
    """Every text that would reveal the secret: any five consecutive characters of it, in any escaping."""
    if isinstance(secret, str):
        runs = re.findall(f"[{UNUSUAL}]{{5,}}", secret)
        return {run[at : at + 5] for run in runs for at in range(len(run) - 4)}
    return set(re.findall(r"\d{5}", re.sub(r"[^\d]", "", repr(secret))))


def assert_no_echo(text: str, secret: object) -> None:
    assert [piece for piece in pieces(secret) if piece in text] == []


# ---------------------------------------------------------------------------------------------------------- variables

NAMES = st.sampled_from(
    [
        "username",
        "password",
        "challengeToken",
        "otp",
        "recoveryCode",
        "enrollmentCode",
        "refreshToken",
        "ceremonyToken",
        "credential",
        "input",
        "x",
        "",
    ]
)
PASSKEY_DOCUMENTS = [document("finishPasskeyLogin"), document("finishPasskeyRegistration")]
DOCUMENTS = [LOGIN, REGISTER_USER, VERIFY_OTP, RESTART_ENROLLMENT, LOGOUT, *PASSKEY_DOCUMENTS]
VARIABLES = ["input", "everywhere", "refreshToken"]


@st.composite
def hidden(draw: st.DrawFn, depth: int = 3) -> tuple[Any, object]:
    """A JSON value that is wrong for an input, and the secret in it."""
    secret = draw(SECRETS)
    value: Any = secret
    for _ in range(draw(st.integers(0, depth))):
        if draw(st.booleans()):
            value = [*draw(st.lists(st.none() | st.booleans(), max_size=2)), value]
        else:
            others: dict[str, Any] = draw(st.dictionaries(NAMES, st.none() | st.just("a") | st.just([]), max_size=3))
            value = others | {draw(NAMES): value}
    return value, secret


@PROPERTY
@given(document=st.sampled_from(DOCUMENTS), name=st.sampled_from(VARIABLES), value_and_secret=hidden())
async def test_echo_of_a_variable(api: Api, document: str, name: str, value_and_secret: tuple[Any, object]) -> None:
    """Any wrong value at any place."""
    value, secret = value_and_secret
    body = json.dumps({"query": document, "variables": {name: value}})

    response = await post(api, body)

    assert response.status_code == 200
    assert "Internal server error." not in response.text
    assert_no_echo(response.text, secret)


@PROPERTY
@given(secret=SECRETS, member=st.sampled_from(["query", "operationName", "variables", "extensions", "id"]))
async def test_echo_of_a_member_of_the_body(api: Api, secret: object, member: str) -> None:
    body = {"query": "query A { me { id } }"} | {member: secret}

    response = await post(api, json.dumps(body))

    assert response.status_code in {200, 400}
    assert_no_echo(response.text, secret)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"input": "SECRET"},
            "Variable '$input' has invalid value: Expected value of type 'LoginInput' to be an object.",
        ),
        (
            {"input": None},
            "Variable '$input' has invalid value: Expected value of non-null type 'LoginInput!' not to be None.",
        ),
        ({}, "Variable '$input' has invalid value: Expected a value of non-null type 'LoginInput!' to be provided."),
        (
            {"input": {"username": "SECRET"}},
            "Variable '$input' has invalid value: Expected value of type 'LoginInput' to include required field "
            "'password'.",
        ),
        (
            {"input": {"username": "SECRET", "password": "SECRET", "pasword": "SECRET"}},
            "Variable '$input' has invalid value: Expected value of type 'LoginInput' not to include unknown field "
            "'pasword'.",
        ),
        (
            {"input": {"username": "a", "password": ["SECRET"]}},
            "Variable '$input' has invalid value at input.password: String cannot represent a non string value.",
        ),
    ],
)
async def test_an_error_names_the_problem_without_the_value(
    api: Api, caplog: pytest.LogCaptureFixture, variables: dict[str, Any], message: str
) -> None:
    """A developer can still find the mistake."""
    response = await post(api, operation(LOGIN, variables=variables))

    assert [text.replace("at .password", "at input.password") for text in messages(response)] == [message]
    assert "SECRET" not in response.text
    assert_quiet(caplog)


# ----------------------------------------------------------------------------------------------------------- literals


def literal(value: object) -> str:
    """A value as GraphQL writes it."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        fields = [f"{name or 'x'}: {literal(inner)}" for name, inner in value.items()]
        return "{" + ", ".join(fields) + "}"
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
    )


PLACES = {
    "argument of an input type": "mutation {{ login(input: {}) {{ __typename }} }}",
    "field of an input": 'mutation {{ login(input: {{username: "a", password: {}}}) {{ __typename }} }}',
    "unknown field of an input": "mutation {{ login(input: {{password: {}, pass: {}}}) {{ __typename }} }}".replace(
        "{}", "null", 1
    ),
    "argument of type Boolean": "mutation {{ logout(everywhere: {}) {{ __typename }} }}",
    "argument of type String": "mutation {{ logout(refreshToken: {}) {{ __typename }} }}",
    "unknown argument": "{{ me(token: {}) {{ id }} }}",
    "argument of an unknown field": "{{ you(token: {}) {{ id }} }}",
    "argument of a directive": "{{ me @include(if: {}) {{ id }} }}",
    "argument of an unknown directive": "{{ me @auth(token: {}) {{ id }} }}",
    "default of a variable": "mutation ($i: LoginInput! = {}) {{ login(input: $i) {{ __typename }} }}",
    "default of a Boolean": "mutation ($b: Boolean! = {}) {{ logout(everywhere: $b) {{ __typename }} }}",
    "default of an unknown type": "query ($b: Unknown = {}) {{ me @include(if: $b) {{ id }} }}",
    "default of a variable that is not used": "query ($b: Int = {}) {{ me {{ id }} }}",
    "argument of two fields that conflict": "mutation {{ logout(refreshToken: {}) {{ __typename }} "
    'logout(refreshToken: "b") {{ __typename }} }}',
    "introspection": "{{ __type(name: {}) {{ name }} }}",
    "fragment": "{{ ...F }} fragment F on Query {{ me(a: {}) {{ id }} }}",
    "description": "{} query {{ you {{ id }} }}",
    "selection": "{{ me {{ {} }} }}",
    "instead of a document": "{}",
    "instead of a name": "query {} {{ me {{ id }} }}",
    "instead of a variable": "query ({}: Int) {{ me {{ id }} }}",
}


@PROPERTY
@given(place=st.sampled_from(list(PLACES.values())), value_and_secret=hidden())
async def test_echo_of_a_literal(api: Api, place: str, value_and_secret: tuple[Any, object]) -> None:
    value, secret = value_and_secret

    response = await post(api, operation(place.format(literal(value))))

    assert response.status_code in {200, 400}
    assert "Internal server error." not in response.text
    assert_no_echo(response.text, secret)


@PROPERTY
@given(
    place=st.sampled_from(list(PLACES.values())),
    secret=WORDS,
    form=st.sampled_from(['"""{}"""', '"""\n  {}\n"""', '"{}']),
)
async def test_echo_of_a_block_string(api: Api, place: str, secret: str, form: str) -> None:
    response = await post(api, operation(place.format(form.format(secret))))

    assert response.status_code in {200, 400}
    assert_no_echo(response.text, secret)


@pytest.mark.parametrize(
    "place",
    [
        "argument of an input type",
        "field of an input",
        "unknown field of an input",
        "argument of type Boolean",
        "argument of type String",
        "unknown argument",
        "argument of a directive",
        "argument of an unknown directive",
        "default of a variable",
        "default of a Boolean",
        "introspection",
    ],
)
@pytest.mark.parametrize("form", ["{}", "[{}]", "{{a: {}}}", "{}e5", "-{}", "{}.5"])
async def test_echo_of_a_password_that_was_not_quoted(api: Api, place: str, form: str) -> None:
    """It is an enum value to GraphQL; or a number."""
    secret = "90217531864" if form[-1] in "5}" and form not in {"{}", "{{a: {}}}"} else "QXZJKVWYQ"

    response = await post(api, operation(PLACES[place].format(form.format(secret))))

    assert response.status_code == 200
    assert_no_echo(response.text, secret)
    assert secret not in response.text


# ------------------------------------------------------------------------------------------------------------- syntax

SECRET = "QXZJKVWYQXZ"
SOURCES = [
    f'mutation {{ login(input: {{username: "a", password: "{SECRET}"}}) {{ __typename }} }}',
    f'mutation ($a: Boolean = true) {{ logout(refreshToken: "{SECRET}", everywhere: $a) {{ __typename }} }}',
    f'query {{ me(a: [1, 2.5, "{SECRET}"]) {{ ...F @include(if: true) }} }} fragment F on User {{ id }}',
    f'query {{ me(a: """{SECRET}""") {{ id }} }}',
]


@PROPERTY
@given(
    source=st.sampled_from(SOURCES),
    at=st.integers(0, 120),
    removed=st.integers(0, 1),
    inserted=st.text(string.printable + "\0\u00e9\u2028\ufeff\U0001f600", max_size=1),
)
async def test_echo_by_a_typing_error(api: Api, source: str, at: int, removed: int, inserted: str) -> None:
    """One character wrong, anywhere: a forgotten quote makes a name of a password, or a string of what follows."""
    mistyped = source[:at] + inserted + source[at + removed :]

    response = await post(api, operation(mistyped))

    assert response.status_code in {200, 400}
    assert_no_echo(response.text, SECRET)


@PROPERTY
@given(source=st.sampled_from(SOURCES), end=st.integers(1, 120))
async def test_echo_by_a_document_that_was_cut(api: Api, source: str, end: int) -> None:
    response = await post(api, operation(source[:end] or " "))

    assert response.status_code in {200, 400}
    assert_no_echo(response.text, SECRET)


@pytest.mark.parametrize(
    "document",
    [
        '"QXZJKVWY" {',
        '"QXZJKVWY" "QXZJKVWY"',
        '{ "QXZJKVWY" }',
        '{ me("QXZJKVWY") }',
        '{ me(a: ) "QXZJKVWY" }',
        "{ me(a: 90217QXZJKVWY) { id } }",
        "{ me(a: 0902175318) { id } }",
        "{ me(a: .90217531) { id } }",
        "{ me(a: 90217531.) { id } }",
        "{ me(a: 90217531e) { id } }",
        "{ me(a: -) QXZJKVWY }",
        '{ me(a: "\\uQXZJ KVWY") { id } }',
        '{ me(a: "\\u{QXZJKVWY}") { id } }',
        '{ me(a: "\\QXZJKVWY") { id } }',
        '{ me(a: "QXZJKVWY\n") { id } }',
        "{ me(a: 'QXZJKVWY') { id } }",
        "{ me(a: `QXZJKVWY`) { id } }",
        "{ me(a: \u201cQXZJKVWY\u201d) { id } }",
        "query ($a: Int = $QXZJKVWY) { me { id } }",
        "{ me(a: {QXZJKVWY}) { id } }",
        "fragment on on QXZJKVWY { id }",
        "enum E { true QXZJKVWY",
        "query Q QXZJKVWY { me { id } }",
    ],
)
async def test_echo_of_a_token_in_a_syntax_error(api: Api, document: str) -> None:
    """All that the lexer and the parser say."""
    response = await post(api, operation(document))

    assert all(message.startswith("Syntax Error") for message in messages(response))
    for secret in ("QXZJKVWY", 90217531):
        assert_no_echo(response.text, secret)


# --------------------------------------------------------------- graphql-core's messages for all kinds of input

KINDS = """
  enum Color { RED GREEN }
  scalar Loud
  scalar Quiet
  input Inner { color: Color  count: Int   list: [Color!] }
  input One @oneOf { a: String  b: Int  c: Inner }
  input Input {
    int: Int  float: Float  text: String  flag: Boolean  id: ID  color: Color   quiet: Quiet
    list: [Int!]!  inner: Inner!  one: One  matrix: [[Color!]!]
  }
  type Query {
    int(v: Int!): Int  float(v: Float!): Int  text(v: String!): Int  flag(v: Boolean!): Int  id(v: ID!): Int
    color(v: Color!): Int   quiet(v: Quiet!): Int  list(v: [Int!]!): Int
    matrix(v: [[Color!]!]!): Int
    inner(v: Inner!): Int  one(v: One!): Int  input(v: Input!): Int
  }
"""
FIELDS = {
    "int": "Int!",
    "float": "Float!",
    "text": "String!",
    "flag": "Boolean!",
    "id": "ID!",
    "color": "Color!",
    "quiet": "Quiet!",
    "list": "[Int!]!",
    "matrix": "[[Color!]!]!",
    "inner": "Inner!",
    "one": "One!",
    "input": "Input!",
}


def _schema() -> GraphQLSchema:
    """With a scalar whose own error repeats the value."""
    schema = build_schema(KINDS)
    quiet = schema.type_map["Quiet"]
    assert isinstance(quiet, GraphQLScalarType)

    def fail(value: object) -> None:
        raise ValueError(f"bad value {value!r}")

    quiet.parse_value = fail  # type: ignore[method-assign]
    quiet.coerce_input_value = fail
    quiet.parse_literal = lambda node, _=None: fail(value_from_ast_untyped(node))  # type: ignore[method-assign,assignment]
    return schema


SCHEMA = _schema()
MEMBERS = st.sampled_from(
    [
        "int",
        "float",
        "text",
        "flag",
        "id",
        "color",
        "quiet",
        "list",
        "inner",
        "one",
        "matrix",
        "a",
        "b",
        "c",
        "count",
    ]
)


@st.composite
def hidden_in_input(draw: st.DrawFn) -> tuple[Any, object]:
    secret = draw(SECRETS | WORDS)
    value: Any = secret
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            value = [*draw(st.lists(st.none() | st.just("RED") | st.just(1), max_size=2)), value]
        else:
            others: dict[str, Any] = draw(
                st.dictionaries(MEMBERS, st.none() | st.just("RED") | st.just(1) | st.just([[]]), max_size=3)
            )
            value = others | {draw(MEMBERS): value}
    return value, secret


async def assert_public(document: str, variables: dict[str, Any] | None, secret: object) -> None:
    result = await graphql(SCHEMA, document, variable_values=variables)
    for error in result.errors or ():
        shown = public_error(error)
        assert_no_echo(json.dumps(shown["message"], ensure_ascii=False), secret)


@PROPERTY
@given(field=st.sampled_from(sorted(FIELDS)), value_and_secret=hidden_in_input())
async def test_echo_of_a_variable_of_any_kind(field: str, value_and_secret: tuple[Any, object]) -> None:
    """Also of those that no operation takes yet."""
    value, secret = value_and_secret
    await assert_public(f"query ($v: {FIELDS[field]}) {{ {field}(v: $v) }}", {"v": value}, secret)


@PROPERTY
@given(field=st.sampled_from(sorted(FIELDS)), value_and_secret=hidden_in_input())
async def test_echo_of_a_literal_of_any_kind(field: str, value_and_secret: tuple[Any, object]) -> None:
    value, secret = value_and_secret
    await assert_public(f"{{ {field}(v: {literal(value)}) }}", None, secret)
    await assert_public(f"query ($v: {FIELDS[field]} = {literal(value)}) {{ {field}(v: $v) }}", None, secret)


@PROPERTY
@given(field=st.sampled_from(sorted(FIELDS)), secret=WORDS)
async def test_echo_of_an_enum_value(field: str, secret: str) -> None:
    for form in (
        "{}",
        "[{}]",
        "[[{}]]",
        "{{color: {}}}",
        "{{inner: {{color: {}}}}}",
        "{{a: {}, b: {}}}",
        "{{list: [{}]}}",
    ):
        await assert_public(
            f"{{ {field}(v: {form.replace('{}', secret).replace('{{', '{').replace('}}', '}')}) }}", None, secret
        )


@pytest.mark.parametrize("field", FIELDS)
async def test_graphql_core_itself_echoes_the_value(field: str) -> None:
    """Control: graphql-core's own message contains the value, for each kind."""
    wrong: Any = {"text": 9021753, "id": [9021753], "float": "9021753", "quiet": "9021753"}
    value = wrong.get(field, "9021753")

    result = await graphql(SCHEMA, f"query ($v: {FIELDS[field]}) {{ {field}(v: $v) }}", variable_values={"v": value})

    assert result.errors
    assert "9021753" in result.errors[0].message
    assert "9021753" not in public_error(result.errors[0])["message"]

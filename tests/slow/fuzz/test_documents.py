"""Nearly valid documents: if they parse they are measured and validated, else refused, and nothing crashes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.api_client import LOGIN, LOGOUT, ME, REFRESH_SESSION, REGISTER_USER, VERIFY_OTP, Api
from tests.http.requests import operation, post
from tests.slow.fuzz.answers import FUZZ, MARKER, assert_answer

# ------------------------------------------------------------------------------------------------------------- shapes

# Each begins a definition, and opens its selection set.
DEFINITIONS = [
    "query X($a: Boolean! = true, $b: String) { __typename",
    "query Y @skip(if: true) { __typename",
    "query ($a: LoginInput!) { __typename",
    "mutation Z($a: Boolean!, $i: LoginInput!) { __typename",
    "mutation { __typename",
    "subscription { __typename",
    "{ __typename",
    "fragment A on Query { __typename",
    "fragment B on User @x { __typename",
    "fragment C on Mutation { __typename",
    "fragment D on UserError { __typename",
    "type T {",
]
NESTED = [
    "me {",
    "policy @include(if: $a) {",
    "login(input: $i) {",
    f'a: login(input: {{username: "a", password: "{MARKER}"}}) {{',
    f'logout(everywhere: [], refreshToken: "{MARKER}") {{',
    f'b: logout(everywhere: $a, refreshToken: """{MARKER}""") {{',
    "refreshSession {",
    "... {",
    "... @skip(if: false) @include(if: true) {",
    "... on Query {",
    "... on LoginResult {",
    "... on SignInSuccess {",
    "__schema { types {",
    '__type(name: "User") { fields { type {',
    "ofType {",
]
LEAVES = [
    "}",
    "} }",
    "id",
    "a: issuer",
    "a: otpDigits",
    "message",
    "name @include(if: $b)",
    "__typename @deprecated @deprecated",
    "...A",
    "...B @include(if: $a)",
    "...C ...C",
    "...D",
    "nothing(a: {b: [1.5, RED, null, $c]})",
]


def document_of(pieces: list[str]) -> str:
    """Put them together, and close what they open."""
    text = ""
    for piece in pieces:
        depth = text.count("{") - text.count("}")
        if piece in DEFINITIONS:
            text += " }" * depth
        elif depth == 0 or piece.count("}") > depth:
            continue
        text += f" {piece}"
    return text + " }" * (text.count("{") - text.count("}"))


documents = st.builds(
    lambda first, rest: document_of([first, *rest]),
    st.sampled_from(DEFINITIONS),
    st.lists(st.sampled_from(NESTED) | st.sampled_from(LEAVES) | st.sampled_from(DEFINITIONS), max_size=30),
)


@FUZZ
@given(
    document=documents,
    operation_name=st.sampled_from([None, "X", "Y", "Z"]),
    variables=st.dictionaries(st.sampled_from("abi"), st.none() | st.booleans() | st.just({"password": MARKER})),
)
async def test_a_document_of_any_shape_is_answered(
    api: Api, document: str, operation_name: str | None, variables: dict[str, object]
) -> None:
    response = await post(api, operation(document, operationName=operation_name, variables=variables))

    assert_answer(response)


# ---------------------------------------------------------------------------------------------------------- mistakes

_TOKENS = re.compile(r'"[^"\n]*"|\w+|\.\.\.|\s+|.')
# Strings stay whole: a password that lost its quotes is a name, and another test's subject.
WRITTEN = [
    *(_TOKENS.findall(document) for document in (LOGIN, LOGOUT, ME, REFRESH_SESSION, REGISTER_USER, VERIFY_OTP)),
    _TOKENS.findall(f'mutation {{ login(input: {{username: "a", password: "{MARKER}"}}) {{ __typename }} }}'),
    _TOKENS.findall(f'mutation {{ logout(everywhere: true, refreshToken: "{MARKER}") {{ __typename }} }}'),
    _TOKENS.findall("query Q($a: Boolean!) { ...F @include(if: $a) } fragment F on Query { policy { issuer } }"),
]
STRANGE = ["\0", "\ufeff", "\u2028", "\U0001f600", "#", '"', '"""', "\\", "&", "1.", "0x1", "\r", "{" * 300, "[" * 300]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid document of which some tokens are lost, doubled, moved or strange."""
    tokens = list(draw(st.sampled_from(WRITTEN)))
    for _ in range(draw(st.integers(1, 4))):
        at, other = (draw(st.integers(0, len(tokens) - 1)) for _ in range(2))
        match draw(st.sampled_from(["lose", "double", "swap", "add"])):
            case "lose":
                tokens[at] = " "
            case "double":
                tokens[at:at] = [tokens[at]] * draw(st.sampled_from([1, 2, 40]))
            case "swap":
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case "add":
                tokens.insert(at, draw(st.sampled_from(STRANGE) | st.text(max_size=5)))
    return "".join(tokens)


@FUZZ
@given(document=mutated())
async def test_a_document_with_mistakes_is_answered(api: Api, document: str) -> None:
    variables = {"input": {"username": "alice", "password": MARKER}}

    response = await post(api, operation(document, variables=variables))

    assert_answer(response)

"""Every operation with generated arguments: answered by one of its types, or refused as the client's mistake."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from graphql import (
    ArgumentNode,
    NameNode,
    ObjectFieldNode,
    StringValueNode,
    ValueNode,
    Visitor,
    parse,
    print_ast,
    validate,
    visit,
)
from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.graphql import nodes

from tests.account import SCHEMA as GRAPHQL_SCHEMA
from tests.account import document
from tests.api_client import (
    LOGIN,
    LOGOUT,
    REFRESH_SESSION,
    REGISTER_USER,
    RESTART_ENROLLMENT,
    VERIFY_OTP,
    VERIFY_RECOVERY_CODE,
    Api,
    Member,
)
from tests.devices import first_device
from tests.http.requests import JSON, post
from tests.slow.fuzz.answers import FUZZ, MARKER, assert_answer
from tests.slow.fuzz.texts import CODES, CREDENTIALS, RECOVERY_CODES, SECRETS, TEXTS, TOKENS


def literal(value: object) -> ValueNode:
    """JSON as a literal of GraphQL."""
    match value:
        case None:
            return nodes.Null
        case bool():
            return nodes.Boolean(value)
        case int():
            return nodes.Int(value)
        case float():
            return nodes.Float(value)
        case list():
            return nodes.List([literal(item) for item in value])
        case dict():
            return nodes.Object(
                [ObjectFieldNode(name=NameNode(value=name), value=literal(item)) for name, item in value.items()]
            )
    return nodes.String(str(value).encode(errors="replace").decode())  # a document has no lone surrogates


# No type of GraphQL tells Schemathesis what it can be.
schemathesis.graphql.scalar("WebAuthnJSON", CREDENTIALS.map(literal))
SCHEMA = schemathesis.graphql.from_path(Path(__file__).parents[3] / "schema.graphql")
AnyCase = Case[Any]


class _MarkSecrets(Visitor):
    """Put the marker into every string but the name, which is no secret."""

    def enter_string_value(self, node: StringValueNode, _key: object, parent: object, *_: object) -> StringValueNode:
        is_name = isinstance(parent, ArgumentNode | ObjectFieldNode) and parent.name.value == "username"
        return node if is_name else replace(node, value=node.value + MARKER)


def with_marked_secrets(case: AnyCase) -> str:
    document = print_ast(visit(parse(str(case.body)), _MarkSecrets()))
    note(document)
    return document


def fits(case: AnyCase) -> bool:
    """Schemathesis gives @oneOf inputs any of their fields, or null."""
    return not validate(GRAPHQL_SCHEMA, parse(str(case.body)))


@FUZZ
@given(case=SCHEMA.as_strategy().filter(fits))
async def test_valid_operations_are_answered_with_data(api: Api, case: AnyCase) -> None:
    response = await api.send(with_marked_secrets(case))

    assert_answer(response)
    case.validate_response(response)


@FUZZ
@given(case=SCHEMA.as_strategy(GenerationMode.NEGATIVE))
async def test_invalid_operations_are_refused(api: Api, case: AnyCase) -> None:
    response = await api.send(with_marked_secrets(case))

    assert_answer(response)
    case.validate_response(response)


def of_input(**fields: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"input": st.fixed_dictionaries(fields)})


def answers() -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"ceremonyToken": TOKENS, "credential": CREDENTIALS})


# {} stands for a challenge that is open.
CHALLENGES = TOKENS | st.just("{}")
# {} stands for a device of alice's.
IDS = TEXTS | st.just("{}")
CALLS = {
    "registerUser": (REGISTER_USER, of_input(username=TEXTS, password=SECRETS)),
    "login": (LOGIN, of_input(username=TEXTS | st.just("alice"), password=SECRETS)),
    "verifyOtp": (VERIFY_OTP, of_input(challengeToken=CHALLENGES, otp=CODES)),
    "verifyRecoveryCode": (VERIFY_RECOVERY_CODE, of_input(challengeToken=CHALLENGES, recoveryCode=RECOVERY_CODES)),
    "restartEnrollment": (
        RESTART_ENROLLMENT,
        of_input(challengeToken=CHALLENGES, enrollmentCode=SECRETS | st.none()),
    ),
    "refreshSession": (
        REFRESH_SESSION,
        st.fixed_dictionaries(
            {"input": st.fixed_dictionaries({"refreshToken": TOKENS}), "retryKey": SECRETS | st.none()}
        ),
    ),
    "logout": (
        LOGOUT,
        st.fixed_dictionaries({"everywhere": st.booleans(), "refreshToken": TOKENS | st.none()}),
    ),
    "reauthenticate": (
        document("reauthenticate"),
        of_input(otp=CODES) | of_input(recoveryCode=RECOVERY_CODES) | of_input(passkey=answers()),
    ),
    "changePassword": (document("changePassword"), of_input(currentPassword=SECRETS, newPassword=SECRETS)),
    "resetPassword": (
        document("resetPassword"),
        of_input(username=TEXTS | st.just("alice"), otp=CODES, recoveryCode=RECOVERY_CODES, newPassword=SECRETS),
    ),
    "regenerateRecoveryCodes": (document("regenerateRecoveryCodes"), st.just({})),
    "revokeSession": (document("revokeSession"), st.fixed_dictionaries({"id": TEXTS})),
    "deleteAccount": (document("deleteAccount"), st.just({})),
    "addTotpDevice": (document("addTotpDevice"), of_input(name=TEXTS)),
    "confirmTotpDevice": (document("confirmTotpDevice"), of_input(id=IDS, otp=CODES)),
    "renameTotpDevice": (document("renameTotpDevice"), of_input(id=IDS, name=TEXTS)),
    "removeTotpDevice": (document("removeTotpDevice"), st.fixed_dictionaries({"id": IDS})),
    "beginPasskeyRegistration": (
        document("beginPasskeyRegistration"),
        of_input(challengeToken=CHALLENGES | st.none(), enrollmentCode=SECRETS | st.none(), conditional=st.booleans()),
    ),
    "finishPasskeyRegistration": (
        document("finishPasskeyRegistration"),
        of_input(ceremonyToken=TOKENS, credential=CREDENTIALS, name=TEXTS | st.none()),
    ),
    "beginPasskeyLogin": (document("beginPasskeyLogin"), of_input(challengeToken=CHALLENGES | st.none())),
    "finishPasskeyLogin": (document("finishPasskeyLogin"), st.fixed_dictionaries({"input": answers()})),
    "beginPasskeyReauthentication": (document("beginPasskeyReauthentication"), st.just({})),
    "renamePasskey": (document("renamePasskey"), of_input(id=IDS, name=TEXTS)),
    "removePasskey": (document("removePasskey"), st.fixed_dictionaries({"id": IDS})),
}
# Without the token of a fresh session, with which the others get as far as the store: that would be the end of alice.
WITHOUT_TOKEN = {"deleteAccount", "logout"}


def test_every_mutation_is_fuzzed_with_hostile_text() -> None:
    mutations = SCHEMA.client_schema.mutation_type
    assert mutations
    assert set(CALLS) == set(mutations.fields)


@pytest.fixture
async def member(api: Api) -> Member:
    """Alice."""
    return await api.member()


@pytest.fixture
async def challenge(api: Api, member: Member) -> str:
    """An open challenge of alice."""
    token: str = (await api.challenge())["token"]
    return token


@pytest.fixture
async def device(api: Api, member: Member) -> str:
    """The id of alice's device."""
    return await first_device(api, member.access_token)


@FUZZ
@given(
    call=st.one_of([st.tuples(st.just(mutation), st.just(text), calls) for mutation, (text, calls) in CALLS.items()])
)
async def test_hostile_text_is_answered_by_a_type(
    api: Api, member: Member, challenge: str, device: str, call: tuple[str, str, dict[str, Any]]
) -> None:
    mutation, text, variables = call
    if variables.get("input", {}).get("challengeToken") == "{}":
        variables["input"]["challengeToken"] = challenge
    given_id = variables.get("input", variables)
    if given_id.get("id") == "{}":
        given_id["id"] = device
    headers = JSON | ({"Authorization": f"Bearer {member.access_token}"} if mutation not in WITHOUT_TOKEN else {})

    response = await post(api, json.dumps({"query": text, "variables": variables}), headers)

    assert_answer(response)
    answer = response.json()
    assert "errors" not in answer, answer
    assert answer["data"][mutation]["__typename"] not in {"RateLimited", "SignedIn", "LogoutSuccess"}

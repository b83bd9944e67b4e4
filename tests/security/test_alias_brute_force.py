"""Attack: many guesses in one request, so that limits that count requests see one.

The right code is always among the guesses: if any of them were tried, there would be a session.
"""

import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from graphql import GraphQLBoolean, GraphQLInputObjectType, GraphQLInputType, get_named_type, parse, validate

from graphql_mfa.http import documents
from graphql_mfa.services import Services
from tests.account import SCHEMA, members_of, mutations
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import Connect
from tests.security.attacks import attempts_counted, failures_counted, scalar, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Shape = Callable[[list[str]], str]
SHAPES: dict[str, Shape] = {}


def shape(build: Shape) -> Shape:
    """Enter a way to write many fields into one document."""
    SHAPES[build.__name__] = build
    return build


@shape
def aliases(guesses: list[str]) -> str:
    return "mutation { " + " ".join(guesses) + " }"


@shape
def one_fragment(guesses: list[str]) -> str:
    return "mutation { ...Guesses } fragment Guesses on Mutation { " + " ".join(guesses) + " }"


@shape
def a_fragment_each(guesses: list[str]) -> str:
    spreads = " ".join(f"...F{number}" for number in range(len(guesses)))
    fragments = " ".join(f"fragment F{number} on Mutation {{ {guess} }}" for number, guess in enumerate(guesses))
    return f"mutation {{ {spreads} }} {fragments}"


@shape
def nested_fragments(guesses: list[str]) -> str:
    """Each fragment contains a guess and spreads the next fragment."""
    fragments = [
        f"fragment F{number} on Mutation {{ {guess} {f'...F{number + 1}' if number + 1 < len(guesses) else ''} }}"
        for number, guess in enumerate(guesses)
    ]
    return "mutation { ...F0 } " + " ".join(fragments)


@shape
def nested_fragments_defined_last_first(guesses: list[str]) -> str:
    head, *fragments = nested_fragments(guesses).split("fragment ")
    return " ".join(f"fragment {fragment}" for fragment in reversed(fragments)) + head


@shape
def inline_fragments(guesses: list[str]) -> str:
    return "mutation { " + " ".join(f"... on Mutation {{ ... {{ {guess} }} }}" for guess in guesses) + " }"


@shape
def all_but_one_skipped(guesses: list[str]) -> str:
    """Document rules don't see variables, so their counts must not depend on them."""
    skipped = [guess.replace(" { __typename }", " @skip(if: true) { __typename }") for guess in guesses[1:]]
    return "mutation { " + " ".join([guesses[0], *skipped]) + " }"


@shape
def none_included(guesses: list[str]) -> str:
    not_included = [guess.replace(" { __typename }", " @include(if: false) { __typename }") for guess in guesses]
    return "mutation { " + " ".join(not_included) + " }"


@shape
def included_by_a_variable(guesses: list[str]) -> str:
    included = [guess.replace(" { __typename }", " @include(if: $yes) { __typename }") for guess in guesses]
    return "mutation ($yes: Boolean = true) { " + " ".join(included) + " }"


@shape
def fragments_skipped_by_a_variable(guesses: list[str]) -> str:
    spreads = " ".join(f"...F{number} @skip(if: $no)" for number in range(len(guesses)))
    fragments = " ".join(f"fragment F{number} on Mutation {{ {guess} }}" for number, guess in enumerate(guesses))
    return f"mutation ($no: Boolean = false) {{ {spreads} }} {fragments}"


@shape
def among_other_operations(guesses: list[str]) -> str:
    return "query Harmless { policy { issuer } } " + aliases(guesses).replace("mutation", "mutation Guess", 1)


@shape
def a_spread_within_a_spread_twice(guesses: list[str]) -> str:
    """The fragment with the guesses is reached by two paths."""
    return (
        "mutation { ...A ...B } fragment A on Mutation { ...C } fragment B on Mutation { ...C } "
        f"fragment C on Mutation {{ {' '.join(guesses)} }}"
    )


def verify_otp_guesses(challenge: Result, right: str, count: int) -> list[str]:
    codes = [f"{number:06}" for number in range(count - 1)] + [right]
    return [
        f'g{number}: verifyOtp(input: {{challengeToken: "{challenge["token"]}", otp: "{code}"}}) {{ __typename }}'
        for number, code in enumerate(codes)
    ]


async def nothing_was_tried(
    api: Api, services: Services, member: Member, challenge: Result, response: httpx.Response
) -> None:
    """The answer is a refusal, no attempt was counted, and the challenge still takes the right code."""
    assert response.status_code in {200, 400, 413}, response.text
    assert set(response.json()) == {"errors"}, response.text
    assert await attempts_counted(services) == 0
    assert await failures_counted(services) == 0
    assert await sessions_of(services, member.username) == 1
    signed_in = await api.verify_otp(challenge, code_at(member.secret, api.clock()))
    assert signed_in["__typename"] == "SignedIn"


@pytest.mark.parametrize("count", [2, 10, 30, 500])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_alias_brute_force_of_a_code(api: Api, services: Services, shape: Shape, count: int) -> None:
    member = await api.member()
    challenge = await api.challenge()
    guesses = verify_otp_guesses(challenge, code_at(member.secret, api.clock()), count)
    document = shape(guesses)
    name = "Guess" if "Harmless" in document else None

    response = await api.http.post("/graphql", json={"query": document, "operationName": name})

    await nothing_was_tried(api, services, member, challenge, response)


@pytest.mark.parametrize("count", [2, 500])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_alias_brute_force_with_all_other_limits_raised(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, shape: Shape, count: int
) -> None:
    """That credentials are checked once per operation does not lean on how many tokens or aliases are allowed."""
    monkeypatch.setattr(documents, "_MAX_ALIASES", 1_000_000)
    monkeypatch.setattr(documents, "_MAX_ROOT_FIELDS", 1_000_000)
    monkeypatch.setattr(documents, "_MAX_DIRECTIVES", 1_000_000)
    async with run_app(max_query_tokens=1_000_000, max_query_depth=1_000_000, max_body_bytes=10_000_000) as app:
        api = connect(app)
        member = await api.member()
        challenge = await api.challenge()
        document = shape(verify_otp_guesses(challenge, code_at(member.secret, api.clock()), count))
        name = "Guess" if "Harmless" in document else None

        response = await api.http.post("/graphql", json={"query": document, "operationName": name})

        await nothing_was_tried(api, app.state.services, member, challenge, response)


@pytest.mark.parametrize("count", [2, 10, 30])
async def test_alias_brute_force_with_variables(api: Api, services: Services, count: int) -> None:
    member = await api.member()
    challenge = await api.challenge()
    codes = [code_at(member.secret, api.clock())] + [f"{number:06}" for number in range(count - 1)]
    variables = {f"v{number}": {"challengeToken": challenge["token"], "otp": code} for number, code in enumerate(codes)}
    declared = ", ".join(f"${name}: VerifyOtpInput!" for name in variables)
    fields = " ".join(f"g{name}: verifyOtp(input: ${name}) {{ __typename }}" for name in variables)

    response = await api.send(f"mutation ({declared}) {{ {fields} }}", variables)

    await nothing_was_tried(api, services, member, challenge, response)


def literal(name: str, type_: GraphQLInputType) -> str:
    """A value of an argument or an input field, with every field that can be given."""
    named = get_named_type(type_)
    if not isinstance(named, GraphQLInputObjectType):
        return "true" if named is GraphQLBoolean else f'"{name}-four-otters-row-upstream"'
    fields = list(named.fields.items())[: 1 if named.is_one_of else None]
    return "{" + ", ".join(f"{name}: {literal(name, field.type)}" for name, field in fields) + "}"


def guesses_at_secrets() -> dict[str, str]:
    """A call of every mutation that takes a secret and limits how often, by its name."""
    calls = {}
    for name, field in mutations().items():
        arguments = ", ".join(f"{name}: {literal(name, argument.type)}" for name, argument in field.args.items())
        takes_a_secret = re.search(r"(otp|code|password|token|credential)\w*:", arguments, re.IGNORECASE)
        if takes_a_secret and "RateLimited" in members_of(name):
            calls[name] = f"{name}({arguments}) {{ __typename }}"
            assert validate(SCHEMA, parse(f"mutation {{ {calls[name]} }}")) == []
    return calls


async def test_alias_brute_force_over_different_fields(api: Api, services: Services) -> None:
    """One guess at each kind of secret is still several guesses in one request."""
    member = await api.member()
    challenge = await api.challenge()
    (right,) = verify_otp_guesses(challenge, code_at(member.secret, api.clock()), 1)
    others = guesses_at_secrets()
    assert "login" in others
    for name, other in others.items():
        response = await api.send(f"mutation {{ {other} {right} }}")
        assert set(response.json()) == {"errors"}, name
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1

    await nothing_was_tried(api, services, member, challenge, response)


async def test_alias_brute_force_over_operations_runs_the_named_one_only(api: Api, services: Services) -> None:
    await api.member()
    challenge = await api.challenge()
    guesses = verify_otp_guesses(challenge, "000000", 10)
    document = " ".join(f"mutation M{number} {{ {guess} }}" for number, guess in enumerate(guesses))

    response = await api.http.post("/graphql", json={"query": document, "operationName": "M3"})

    assert list(response.json()["data"]) == ["g3"]
    assert await attempts_counted(services) == 1


@pytest.mark.parametrize("operation_name", [None, ""])
async def test_alias_brute_force_over_operations_without_operation_name(
    api: Api, services: Services, operation_name: str | None
) -> None:
    member = await api.member()
    challenge = await api.challenge()
    guesses = verify_otp_guesses(challenge, code_at(member.secret, api.clock()), 10)
    document = " ".join(f"mutation M{number} {{ {guess} }}" for number, guess in enumerate(guesses))

    response = await api.http.post("/graphql", json={"query": document, "operationName": operation_name})

    await nothing_was_tried(api, services, member, challenge, response)


def _operation(guess: str) -> dict[str, Any]:
    return {"query": f"mutation {{ {guess} }}"}


@pytest.mark.parametrize(
    "batch",
    [
        lambda guesses: [_operation(guess) for guess in guesses],
        lambda guesses: [_operation(guesses[-1])],
        lambda guesses: {"0": _operation(guesses[-1])},
        lambda guesses: {"query": [f"mutation {{ {guess} }}" for guess in guesses]},
        lambda guesses: {"batch": [_operation(guess) for guess in guesses]},
        lambda _: [],
    ],
    ids=["array", "array of one", "object of operations", "array of queries", "batch member", "empty array"],
)
async def test_batching_of_guesses(api: Api, services: Services, batch: Callable[[list[str]], Any]) -> None:
    member = await api.member()
    challenge = await api.challenge()
    guesses = verify_otp_guesses(challenge, code_at(member.secret, api.clock()), 20)

    response = await api.http.post(
        "/graphql", content=json.dumps(batch(guesses)), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    await nothing_was_tried(api, services, member, challenge, response)


async def test_batching_by_concatenated_bodies(api: Api, services: Services) -> None:
    """Newline-delimited JSON is one body, and no JSON."""
    member = await api.member()
    challenge = await api.challenge()
    guesses = verify_otp_guesses(challenge, code_at(member.secret, api.clock()), 5)
    body = "\n".join(json.dumps(_operation(guess)) for guess in reversed(guesses))

    response = await api.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 400
    await nothing_was_tried(api, services, member, challenge, response)

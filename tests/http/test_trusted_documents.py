"""Trusted documents: only documents of the manifest run, and only by their hash."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from graphql import get_introspection_query
from typer.testing import CliRunner

from graphql_mfa import Settings, create_app
from graphql_mfa.cli import app as command
from graphql_mfa.services import Services
from tests.api_client import LOGIN, PASSWORD, REGISTER_USER, Api
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, assert_headers, assert_refusal, messages
from tests.security.attacks import scalar

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
MakeSettings = Callable[..., Settings]
Write = Callable[[dict[str, str]], Path]

TWO = "query Issuer { policy { issuer } } query Digits { policy { otpDigits } }"
DOCUMENTS = [POLICY, TWO, REGISTER_USER, LOGIN, "mutation Logout { logout { __typename } }"]
ANSWER = {"data": {"policy": {"issuer": "GraphQL MFA"}}}


def hash_of(document: str) -> str:
    return sha256(document.encode()).hexdigest()


MANIFEST = {hash_of(document): document for document in DOCUMENTS}
KNOWN = hash_of(POLICY)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Make a manifest of these documents."""

    def write(documents: dict[str, str]) -> Path:
        file = tmp_path / "documents.json"
        file.write_text(json.dumps(documents))
        return file

    return write


@pytest.fixture
async def app(run_app: RunApp, write: Write) -> AsyncIterator[FastAPI]:
    async with run_app(trusted_documents=write(MANIFEST)) as app:
        yield app


async def post(api: Api, **members: Any) -> httpx.Response:
    return await api.http.post("/graphql", json=members)


async def get(api: Api, **members: Any) -> httpx.Response:
    parameters = {name: value if isinstance(value, str) else json.dumps(value) for name, value in members.items()}
    return await api.http.get("/graphql", params=parameters)


Send = Callable[..., Any]
by_post_and_by_get = pytest.mark.parametrize("send", [post, get])


# ----------------------------------------------------------------------------------------------- accepted requests


@by_post_and_by_get
@pytest.mark.parametrize(
    "members",
    [
        {"documentId": KNOWN},
        {"documentId": f"sha256:{KNOWN}"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": KNOWN}}},
        {"extensions": {"persistedQuery": {"sha256Hash": f"sha256:{KNOWN}"}}},
        {"documentId": KNOWN, "extensions": {"persistedQuery": {"sha256Hash": hash_of(TWO)}}},
        {"documentId": KNOWN, "extensions": {}},
        {"documentId": KNOWN, "extensions": {"persistedQuery": None}},
    ],
    ids=["documentId", "with its algorithm", "Apollo's", "Apollo's with its algorithm", "both", "extensions", "null"],
)
async def test_a_trusted_document_runs_by_its_hash(api: Api, send: Send, members: dict[str, Any]) -> None:
    response = await send(api, **members)
    assert response.status_code == 200
    assert response.json() == ANSWER
    assert_headers(response)


async def test_absent_members_may_be_null(api: Api) -> None:
    response = await post(api, query=None, documentId=KNOWN, variables=None, operationName=None, extensions=None)
    assert response.json() == ANSWER


@pytest.mark.parametrize("prefix", ["", "sha256:"])
@by_post_and_by_get
async def test_the_manifest_may_name_the_algorithm_too(
    run_app: RunApp, connect: Connect, write: Write, send: Send, prefix: str
) -> None:
    async with run_app(trusted_documents=write({f"sha256:{KNOWN}": POLICY})) as app:
        assert (await send(connect(app), documentId=prefix + KNOWN)).json() == ANSWER


async def test_the_hash_may_have_any_operation_name(run_app: RunApp, connect: Connect, write: Write) -> None:
    """The hash may be of any algorithm."""
    async with run_app(trusted_documents=write({"md5:v1/Policy": POLICY})) as app:
        assert (await post(connect(app), documentId="md5:v1/Policy")).json() == ANSWER


async def test_variables_can_be_sent_with_the_hash(api: Api) -> None:
    account = {"username": "alice", "password": PASSWORD}
    registered = await post(api, documentId=hash_of(REGISTER_USER), variables={"input": account})
    assert registered.json()["data"]["registerUser"]["__typename"] == "RegisterUserSuccess"
    login = await post(api, documentId=hash_of(LOGIN), variables={"input": account})
    assert login.json()["data"]["login"]["__typename"] == "OtpRequired"


@by_post_and_by_get
async def test_one_of_several_operations_runs_by_its_name(api: Api, send: Send) -> None:
    response = await send(api, documentId=hash_of(TWO), operationName="Digits")
    assert response.json() == {"data": {"policy": {"otpDigits": 6}}}
    (message,) = messages(await send(api, documentId=hash_of(TWO)))
    assert "operationName" in message
    assert_refusal(await send(api, documentId=hash_of(TWO), operationName="Other"), 400)


async def test_a_trusted_mutation_does_not_run_by_get(api: Api) -> None:
    response = await get(api, documentId=hash_of("mutation Logout { logout { __typename } }"))
    assert_refusal(response, 405)
    assert response.headers["Allow"] == "POST"


async def test_a_browser_gets_the_result_of_an_operation_in_the_url(
    run_app: RunApp, connect: Connect, write: Write
) -> None:
    """The explorer has no text to show."""
    async with run_app(trusted_documents=write(MANIFEST), explorer=True) as app:
        response = await connect(app).http.get(
            "/graphql", params={"documentId": KNOWN}, headers={"Accept": "text/html,*/*;q=0.8"}
        )
    assert response.json() == ANSWER


async def test_without_a_manifest_a_hash_is_refused(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        api = connect(app)
        for response in (await post(api, documentId=KNOWN), await get(api, documentId=KNOWN)):
            assert_refusal(response, 400)
        assert (await post(api, query=POLICY, documentId="unknown")).json() == ANSWER


# ---------------------------------------------------------------------------------------------------- refused requests


@by_post_and_by_get
@pytest.mark.parametrize(
    "members",
    [
        {"query": POLICY},
        {"query": "{ me { id } }"},
        {"query": POLICY, "documentId": KNOWN},
        {"query": "{ me { id } }", "documentId": KNOWN},
        {"query": POLICY, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": KNOWN}}},
        {"query": get_introspection_query()},
        {"query": " ", "documentId": KNOWN},
        {"query": "mutation { logout { __typename } }"},
        {"query": "{"},
    ],
)
async def test_a_full_document_does_not_run_even_if_trusted(api: Api, send: Send, members: dict[str, Any]) -> None:
    response = await send(api, **members)
    assert_refusal(response, 400)
    (message,) = messages(response)
    assert message == "This server runs trusted documents only: send `documentId` and no `query`."


@pytest.mark.parametrize("query", ["", 0, False, [], {}])
async def test_a_query_that_is_not_a_string_is_refused_even_with_a_hash(api: Api, query: object) -> None:
    assert_refusal(await post(api, query=query, documentId=KNOWN), 400)


@by_post_and_by_get
@pytest.mark.parametrize(
    "document_id",
    [
        hash_of(get_introspection_query()),
        hash_of("{ me { id } }"),
        KNOWN[:-1],
        KNOWN.upper(),
        f"{KNOWN} ",
        f" {KNOWN}",
        f"sha256:sha256:{KNOWN}",
        f"SHA256:{KNOWN}",
        f"md5:{KNOWN}",
        "sha256:",
        POLICY,
        "__proto__",
        "../documents.json",
        "\0",
        "x" * 9000,
    ],
    ids=lambda text: ascii(text[:20]),
)
async def test_a_hash_that_is_not_in_the_manifest_runs_nothing(api: Api, send: Send, document_id: str) -> None:
    for members in ({"documentId": document_id}, {"extensions": {"persistedQuery": {"sha256Hash": document_id}}}):
        response = await send(api, **members)
        assert_refusal(response, 400)
        assert messages(response) == ["PersistedQueryNotFound"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"variables": {}},
        {"documentId": None},
        {"documentId": ""},
        {"documentId": 5},
        {"documentId": True},
        {"documentId": [KNOWN]},
        {"documentId": {KNOWN: KNOWN}},
        {"documentid": KNOWN},
        {"id": KNOWN},
        {"extensions": KNOWN},
        {"extensions": [{"persistedQuery": {"sha256Hash": KNOWN}}]},
        {"extensions": {"persistedQuery": KNOWN}},
        {"extensions": {"persistedQuery": [KNOWN]}},
        {"extensions": {"persistedQuery": {"sha256Hash": None}}},
        {"extensions": {"persistedQuery": {"sha256Hash": 5}}},
        {"extensions": {"persistedQuery": {"sha256Hash": [KNOWN]}}},
        {"extensions": {"sha256Hash": KNOWN}},
    ],
    ids=json.dumps,
)
async def test_a_malformed_hash_is_refused(api: Api, members: dict[str, Any]) -> None:
    response = await post(api, **members)
    assert_refusal(response, 400)
    assert KNOWN not in response.text


@pytest.mark.parametrize("body", [f'"{KNOWN}"', f'["{KNOWN}"]', f'[{{"documentId":"{KNOWN}"}}]', "null", "", KNOWN])
async def test_a_body_that_is_not_an_object_is_refused(api: Api, body: str) -> None:
    assert_refusal(await api.http.post("/graphql", content=body, headers=JSON), 400)


async def test_a_hash_that_is_sent_twice_is_refused(api: Api) -> None:
    body = f'{{"documentId": "{KNOWN}", "documentId": "{KNOWN}"}}'
    assert_refusal(await api.http.post("/graphql", content=body, headers=JSON), 400)
    assert_refusal(await api.http.get(f"/graphql?documentId={KNOWN}&documentId={KNOWN}"), 400)


async def test_automatic_persisted_queries_can_not_register_a_document(api: Api) -> None:
    new = "{ me { id } }"
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(new)}}
    assert_refusal(await post(api, query=new, extensions=persisted), 400)
    assert_refusal(await post(api, extensions=persisted), 400)


async def test_an_untrusted_mutation_changes_nothing(api: Api, services: Services) -> None:
    document = f'mutation {{ registerUser(input: {{username: "eve", password: "{PASSWORD}"}}) {{ __typename }} }}'
    for members in ({"query": document}, {"query": document, "documentId": hash_of(REGISTER_USER)}):
        assert_refusal(await post(api, **members), 400)
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 0


# ---------------------------------------------------------------------------------------------- manifests that are none

NO_MANIFEST = {
    "empty": b"",
    "no JSON": b"documents",
    "no UTF-8": b"\xff\xfe{}",
    "cut": b'{"a": "{ policy { issuer } }"',
    "a list": b'["{ policy { issuer } }"]',
    "a text": b'"{ policy { issuer } }"',
    "null": b"null",
    "a number inside": b'{"a": 5}',
    "null inside": b'{"a": null}',
    "a list inside": b'{"a": ["{ policy { issuer } }"]}',
    "Apollo's, operations by name": b'{"operations": {"A": "{ me { id } }"}}',
    "Apollo's, no body": b'{"operations": [{"id": "a", "name": "A"}]}',
    "Apollo's, texts": b'{"operations": ["{ me { id } }"]}',
    "Apollo's, a number": b'{"operations": 5}',
}
TYPO = "{ policy { isuer } }"
NO_DOCUMENT = {
    "empty": "",
    "no GraphQL": "{ policy {",
    "unknown field": TYPO,
    "missing argument": "mutation { login { __typename } }",
    "unused fragment": "fragment F on Query { me { id } }",
    "a type": "type T { a: Int }",
    "two credential fields": "mutation { a: refreshSession { __typename } b: refreshSession { __typename } }",
    "many tokens": f"{{ policy {{ {'issuer ' * 1000} }} }}",
    "deep": "{ a " * 300 + "}" * 300,
    "deep and valid": '{ __type(name: "A") { ' + "ofType { " * 25 + "name " + "} " * 27,
    "many aliases": "{ policy { " + " ".join(f"a{number}: issuer" for number in range(40)) + " } }",
    "many root fields": "{ " + " ".join(f"a{number}: me {{ id }}" for number in range(11)) + " }",
    "many introspections": '{ a: __type(name: "A") { name } b: __type(name: "B") { name } __schema { __typename } }',
}


async def test_a_manifest_of_apollos_generator_is_read(run_app: RunApp, connect: Connect, tmp_path: Path) -> None:
    manifest = tmp_path / "documents.json"
    operation = {"id": "a-hash", "name": "Policy", "type": "query", "body": "query Policy { policy { issuer } }"}
    manifest.write_text(
        json.dumps({"format": "apollo-persisted-query-manifest", "version": 1, "operations": [operation]})
    )
    async with run_app(trusted_documents=manifest) as app:
        response = await connect(app).http.post("/graphql", json={"documentId": "a-hash"})
    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


@pytest.mark.parametrize("case", NO_MANIFEST)
def test_a_malformed_manifest_is_refused_at_start(make_settings: MakeSettings, tmp_path: Path, case: str) -> None:
    manifest = tmp_path / "documents.json"
    manifest.write_bytes(NO_MANIFEST[case])
    with pytest.raises(ValueError, match=r"documents\.json is no manifest of trusted documents: a JSON object"):
        create_app(make_settings(trusted_documents=manifest))


@pytest.mark.parametrize("name", ["nothing.json", ""])
def test_a_manifest_that_can_not_be_read_is_refused_at_start(
    make_settings: MakeSettings, tmp_path: Path, name: str
) -> None:
    with pytest.raises(OSError, match=name or str(tmp_path)):
        create_app(make_settings(trusted_documents=tmp_path / name))


@pytest.mark.parametrize("prefix", ["", "sha256:"])
@pytest.mark.parametrize("case", NO_DOCUMENT)
def test_a_document_that_can_not_run_is_refused_at_start_with_its_hash(
    make_settings: MakeSettings, write: Write, case: str, prefix: str
) -> None:
    document = NO_DOCUMENT[case]
    manifest = write(MANIFEST | {prefix + hash_of(document): document})
    with pytest.raises(ValueError, match=f"The trusted document {hash_of(document)} can't run: ."):
        create_app(make_settings(trusted_documents=manifest))


def test_disabled_introspection_is_disabled_for_trusted_documents_too(
    make_settings: MakeSettings, write: Write
) -> None:
    manifest = write({"tools": "{ __schema { queryType { name } } }"})
    with pytest.raises(ValueError, match=r"The trusted document tools can't run: .*introspection"):
        create_app(make_settings(trusted_documents=manifest, introspection=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "documents.json"),
        ("null", "documents.json is no manifest of trusted documents"),
        (json.dumps({hash_of(TYPO): TYPO}), f"The trusted document {hash_of(TYPO)} can't run: "),
    ],
    ids=["missing", "no manifest", "no document"],
)
@pytest.mark.usefixtures("serve_in_process")
@pytest.mark.parametrize("name", ["serve", "schema"])
def test_an_unusable_manifest_ends_the_command_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("documents.json").write_text(content)
    ran = CliRunner().invoke(command, [name], env={"GRAPHQL_MFA_TRUSTED_DOCUMENTS": "documents.json"})
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Wrong configuration: ")
    assert message in line

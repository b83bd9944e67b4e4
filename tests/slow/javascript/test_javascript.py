"""Compatibility with JavaScript clients, checked by their tools: HTTP audits, schema rules, TypeScript examples."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server, require_program
from tests.security.attacks import real_api, real_member
from tests.slow.npm import install, npm

TOOLS = Path(__file__).parent
ROOT = TOOLS.parents[2]
EXAMPLE = ROOT / "examples" / "typescript"


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the audits and the lint, installed."""
    install(TOOLS)
    return TOOLS


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the TypeScript example, installed, and of the schema where the example looks for it."""
    install(EXAMPLE)
    copy = tmp_path / "examples" / "typescript"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("node_modules", "generated", "build"))
    (copy / "node_modules").symlink_to(EXAMPLE / "node_modules")
    shutil.copy(ROOT / "schema.graphql", tmp_path)
    return copy


@pytest.fixture
def snippets(tmp_path: Path) -> Path:
    """A folder with the compiled examples of docs/clients.md that need no other package."""
    install(EXAMPLE)
    (tmp_path / "node_modules").symlink_to(EXAMPLE / "node_modules")
    (tmp_path / "package.json").write_text("{}")
    page = (ROOT / "docs" / "clients.md").read_text()
    names = ["session.ts", "sign-in.ts", "step-up.ts"]
    for name, text in re.findall(r"```ts\n// (\S+)\n(.*?)```", page, re.DOTALL):
        if name in names:
            (tmp_path / name).write_text(text)
    options = "--strict --target es2022 --lib es2022,dom,dom.iterable --module commonjs --moduleResolution bundler"
    npm(tmp_path, "exec", "--", "tsc", *options.split(), *names)
    return tmp_path


def step_up(snippets: Path, *answers: dict[str, object]) -> dict[str, object]:
    """Run a deletion by `withStepUp` against these responses; return its result, the prompts and the requests."""
    (snippets / "main.js").write_text("""
        const { withStepUp } = require("./step-up.js");
        const answers = JSON.parse(process.argv[2]), asked = [], tokens = [];
        globalThis.fetch = async (_url, { headers }) => {
          if (answers.length === 0) throw new Error("one request too many");
          tokens.push(headers.get("Authorization"));
          return Response.json({ data: answers.shift() });
        };
        const askUser = async (message) => { asked.push(message ?? null); return { otp: "123456" }; };
        withStepUp("mutation { deleteAccount { __typename } }", {}, askUser).then((result) => {
          console.log(JSON.stringify({ result: result.__typename, asked, tokens }));
          process.exit();
        });
    """)
    output = npm(snippets, "exec", "--", "node", "main.js", json.dumps(answers))
    outcome: dict[str, object] = json.loads(output.splitlines()[-1])
    return outcome


def sent_with_hashes(tools: Path, client: str, method: str, url: str) -> tuple[list[object], list[str]]:
    """The outcomes of two queries and a mutation by a client of persisted queries, and the requests it made."""
    require_program("node")
    command = ["node", "persisted.js", client, method, f"{url}/graphql"]
    run = subprocess.run(command, cwd=tools, capture_output=True, text=True, check=True)
    answer = json.loads(run.stdout)
    return answer["outcomes"], answer["sent"]


@contextmanager
def server_that_answers(body: bytes) -> Iterator[str]:
    """The URL of a server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server with that handler."""
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/graphql"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def server_that_loses_an_answer(url: str, operation: str) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a proxy that hangs up instead of the first answer to an operation, and the bodies that it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_lost = operation.encode() in body and not any(operation.encode() in earlier for earlier in bodies)
            bodies.append(body)
            names = ("Content-Type", "Accept", "Authorization")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            answer = httpx.post(url, content=body, headers=headers, timeout=60)
            if is_lost:
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with serving(Handler) as proxy:
        yield proxy, bodies


def test_every_graphql_over_http_audit_passes(tools: Path, live_server: str) -> None:
    assert "61 of 61 audits pass." in npm(tools, "run", "audit", f"{live_server}/graphql")


@pytest.mark.parametrize(
    ("algorithm", "jsonwebtoken"), [("EdDSA", 'refused: Unknown key type "ed25519".'), ("ES256", "ES256")]
)
async def test_libraries_that_know_the_issuer_alone_verify_an_access_token(
    tools: Path, tmp_path: Path, new_environment: Callable[[], dict[str, str]], algorithm: str, jsonwebtoken: str
) -> None:
    issuer = "https://id.example"
    tokens = {"GRAPHQL_MFA_TOKEN_ISSUER": issuer, "GRAPHQL_MFA_TOKEN_ALGORITHM": algorithm}
    server = Server(tmp_path, **new_environment() | tokens).start()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            member = await real_member(real_api(http), "alice")
        arguments = (server.url, issuer, "graphql-mfa", member.access_token)
        output = npm(tools, "run", "--silent", "verify-token", "--", *arguments)
    finally:
        server.stop()
    assert json.loads(output) == {"oauth4webapi": algorithm, "jose": algorithm, "jsonwebtoken": jsonwebtoken}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("client", "again"), [("apollo", "POST"), ("urql", "GET")])
def test_an_app_that_sends_hashes_first_falls_back_to_whole_documents(
    tools: Path, live_server: str, client: str, again: str, method: str
) -> None:
    """With the defaults of Apollo Client's PersistedQueryLink and urql's persistedExchange, but for the method."""
    (first, second, mutation), sent = sent_with_hashes(tools, client, method, live_server)
    assert isinstance(first, dict)
    assert first["policy"]["issuer"] == "GraphQL MFA"
    assert second == first
    assert mutation == {"logout": {"__typename": "NotAuthenticated"}}
    if method == "POST":
        again = "POST"
    assert sent[:2] == [f"{method} hash", f"{again} query"]
    assert all(request.endswith(" query") for request in sent[2:])


@pytest.mark.parametrize("client", ["apollo", "urql"])
def test_an_app_that_registers_documents_gets_an_error_about_trusted_documents(
    tools: Path, tmp_path: Path, client: str
) -> None:
    (tmp_path / "documents.json").write_text("{}")
    server = Server(tmp_path, GRAPHQL_MFA_TRUSTED_DOCUMENTS="documents.json").start()
    try:
        outcomes, sent = sent_with_hashes(tools, client, "POST", server.url)
    finally:
        server.stop()
    assert all("This server runs trusted documents only" in str(outcome) for outcome in outcomes)
    assert sent == ["POST hash", "POST query hash"] * 3


def test_the_schema_follows_the_recommended_rules(tools: Path) -> None:
    npm(tools, "run", "lint")


def test_the_typescript_example_compiles_and_signs_in(example: Path, live_server: str) -> None:
    npm(example, "run", "generate")
    npm(example, "run", "check")
    assert "Logged out: 1 session ended." in npm(example, "start", "--", f"{live_server}/graphql")


def test_the_example_repeats_a_refresh_whose_answer_was_lost(example: Path, live_server: str) -> None:
    npm(example, "run", "generate")
    with server_that_loses_an_answer(f"{live_server}/graphql", "mutation Refresh") as (url, sent):
        assert "Refreshed the session." in npm(example, "start", "--", url)
    lost, repeated = (json.loads(body)["variables"] for body in sent if b"mutation Refresh" in body)
    assert lost == repeated
    assert lost["retryKey"]


def test_the_compiler_names_an_outcome_that_the_example_does_not_handle(example: Path) -> None:
    schema = example.parent.parent / "schema.graphql"
    schema.write_text(schema.read_text().replace("union LoginResult =", "union LoginResult = SessionExpired |"))
    npm(example, "run", "generate")
    complaint = npm(example, "run", "check", fails=True)
    assert "SessionExpired" in complaint
    assert "not assignable to parameter of type 'never'" in complaint


def test_the_example_shows_the_message_of_an_unknown_outcome(example: Path) -> None:
    npm(example, "run", "generate")
    answer = b'{"data": {"registerUser": {"__typename": "InvitationRequired", "message": "Ask for an invitation."}}}'
    with server_that_answers(answer) as url:
        assert "Error: Ask for an invitation." in npm(example, "start", "--", url, fails=True)


def test_a_step_up_asks_until_the_code_is_right_and_repeats_the_operation_with_the_new_token(snippets: Path) -> None:
    assert step_up(
        snippets,
        {"deleteAccount": {"__typename": "ReauthenticationRequired", "message": "Please confirm."}},
        {"reauthenticate": {"__typename": "InvalidOtp", "message": "Wrong."}},
        {"reauthenticate": {"__typename": "Reauthenticated", "accessToken": "new"}},
        {"deleteAccount": {"__typename": "AccountDeleted"}},
    ) == {
        "result": "AccountDeleted",
        "asked": ["Please confirm.", "Wrong."],
        "tokens": [None, None, None, "Bearer new"],
    }


def test_a_step_up_of_a_session_that_ended_meanwhile_ends(snippets: Path) -> None:
    assert step_up(
        snippets,
        {"deleteAccount": {"__typename": "ReauthenticationRequired"}},
        {"reauthenticate": {"__typename": "NotAuthenticated", "message": "Log in first."}},
    ) == {"result": "NotAuthenticated", "asked": [None], "tokens": [None, None]}


def test_a_page_repeats_a_refresh_whose_answer_was_lost_with_the_same_key(snippets: Path) -> None:
    (snippets / "main.js").write_text("""
        const locks = { request: (_name, refresh) => refresh() };
        Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
        Object.defineProperty(globalThis, "localStorage", { value: {}, configurable: true });
        const reload = () => { delete require.cache[require.resolve("./session.js")]; return require("./session.js"); };
        const limited = { __typename: "RateLimited", message: "Too many attempts.", retryAfter: 9 };
        const signedIn = { __typename: "SignedIn", tokens: { accessToken: "a" } };
        const answers = [null, limited, signedIn, signedIn], keys = [];
        globalThis.fetch = async (_url, { body }) => {
          keys.push(JSON.parse(body).variables.retryKey);
          const refreshSession = answers.shift();
          if (!refreshSession) throw new TypeError("the network is away");
          return Response.json({ data: { refreshSession } });
        };
        (async () => {
          await reload().refresh().catch(() => {});
          const { refresh } = reload();
          const refused = await refresh().then(() => null, ({ message, retryAfter }) => ({ message, retryAfter }));
          for (let times = 0; times < 2; times++) await refresh();
          console.log(JSON.stringify({ refused, keys }));
          process.exit();
        })();
    """)
    outcome = json.loads(npm(snippets, "exec", "--", "node", "main.js").splitlines()[-1])
    assert outcome["refused"] == {"message": "Too many attempts.", "retryAfter": 9}
    lost, limited, answered, following = outcome["keys"]
    assert lost == limited == answered
    assert len({lost, following, None}) == 3

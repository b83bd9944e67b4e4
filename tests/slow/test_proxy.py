"""The nginx block and the systemd unit of docs/operations.md, with nginx and systemd themselves."""

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.api_client import REGISTER_USER
from tests.conftest import Server, require_program
from tests.ports import reserved_port

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
HTML = {"Accept": "text/html"}
HEAD = "POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"


@dataclass
class Site:
    """nginx in front of one server, and the certificate that it shows."""

    port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(retries=10, verify=self.trust)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30)


def block(language: str) -> str:
    """The one block of the page in that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """With each first text, which has to be there, replaced by the second."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "site.pem", folder / "site.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start a server and the documented nginx before it: `site("--dev", GRAPHQL_MFA_SESSION_TRANSPORT="cookie")`."""
    require_program("nginx")
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Site:
            server = Server(tmp_path, *arguments, **environment).start()
            stack.callback(server.stop)
            certificate, key = make_certificate(tmp_path)
            port = stack.enter_context(reserved_port())
            upstream = str(urlsplit(server.url).port)
            documented = replaced(
                block("nginx"),
                ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
                ("127.0.0.1:8001", f"127.0.0.1:{upstream}"),
                ("    server 127.0.0.1:8002;\n", ""),
                ("/etc/ssl/sign-in.pem", str(certificate)),
                ("/etc/ssl/private/sign-in.key", str(key)),
            )
            configuration = tmp_path / "nginx.conf"
            paths = "".join(
                f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            configuration.write_text(
                # One process, of this user, which may read this folder.
                f"daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log stderr notice; events {{}}\n"
                f"http {{ access_log off; {paths}\n{documented}}}\n"
            )
            nginx = subprocess.Popen(
                ["nginx", "-p", tmp_path, "-c", configuration],
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            stack.callback(end, nginx)
            assert nginx.stderr
            log = ""
            # It listens before it says this.
            while "using the" not in log:
                log += (line := nginx.stderr.readline())
                assert line, log
            return Site(port, certificate)

        yield start


def end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.communicate()


def test_a_page_signs_up_in_cookie_mode_at_a_port_that_is_not_443(site: Callable[..., Site]) -> None:
    started = site(GRAPHQL_MFA_SESSION_TRANSPORT="cookie", GRAPHQL_MFA_TRUSTED_PROXIES="127.0.0.1")
    account = {"username": "alice", "password": "a stack of paper cranes"}
    body = {"query": REGISTER_USER, "variables": {"input": account}}
    headers = {"GraphQL-Require-Preflight": "1"}
    with started.client() as http:
        own = http.post("/graphql", json=body, headers=headers | {"Origin": started.url})
        other = http.post("/graphql", json=body, headers=headers | {"Origin": "https://127.0.0.1"})
    assert own.json()["data"]["registerUser"]["__typename"] == "RegisterUserSuccess"
    assert other.status_code == 403


@pytest.mark.parametrize("arguments", [[], ["--dev"]], ids=["serve", "serve --dev"])
def test_the_explorer_is_not_public_through_nginx(site: Callable[..., Site], arguments: list[str]) -> None:
    with site(*arguments).client() as http:
        assert http.get("/readyz").status_code == 200
        assert http.get("/graphql", headers=HTML).status_code == 400
        # As a client that knows where the server listens may write it.
        assert http.get("/graphql", headers=HTML | {"Host": "127.0.0.1:8000"}).status_code == 400


def test_metrics_are_not_public_through_nginx(site: Callable[..., Site]) -> None:
    token = "a token for the scraper"
    with site(GRAPHQL_MFA_METRICS_TOKEN=token).client() as http:
        assert http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_an_address_may_have_20_concurrent_requests(site: Callable[..., Site]) -> None:
    started = site()
    with ExitStack() as stack:

        def unfinished_request() -> ssl.SSLSocket:
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", started.port)))
            connection = stack.enter_context(started.trust.wrap_socket(plain, server_hostname="127.0.0.1"))
            connection.sendall(HEAD.encode())
            return connection

        first = [unfinished_request() for _ in range(20)]
        assert unfinished_request().recv(65_536).startswith(b"HTTP/1.1 429 ")
        first[0].sendall(b'{"a": "b"}'[:9])
        assert first[0].recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    require_program("systemd-analyze")
    command = Path(sys.executable).with_name("graphql-mfa")
    unit = tmp_path / "graphql-mfa.service"
    unit.write_text(replaced(block("ini"), ("/opt/graphql-mfa/bin/graphql-mfa", str(command))))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    ran = subprocess.run(verify, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")

"""Attack: make the service send its events, or any request, to another place than the receiver."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from graphql_mfa import SecurityEvent, Settings
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.notifications import DeliveryError
from graphql_mfa.services import utc_now
from graphql_mfa.webhooks import AddressNotAllowedError, Webhook
from tests.clock import WAIT
from tests.receiver import SECRET, receiving

NAME = "hooks.example"
EVENT = SecurityEvent(
    UUID(int=1), SecurityEventKind.SIGNED_IN, datetime(2026, 1, 1, tzinfo=UTC), UUID(int=2), "alice", None, None
)
Names = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The addresses that the name resolves to, one list after the other; returns the names that were looked up."""

    def resolve_to(*answers: list[str]) -> list[str]:
        left, looked_up = list(answers), []

        def getaddrinfo(host: bytes | str, port: int, *_: object, **__: object) -> list[object]:
            looked_up.append(host.decode() if isinstance(host, bytes) else host)
            addresses = left.pop(0)
            if not addresses:
                raise socket.gaierror("Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        return looked_up

    return resolve_to


def webhook(url: str, *allowed: str) -> Webhook:
    networks: Any = ",".join(allowed)
    secret: Any = SECRET
    return Webhook(
        Settings(webhook_url=url, webhook_secret=secret, webhook_allowed_networks=networks, bcrypt_rounds=12), utc_now
    )


def deliver(url: str, *allowed: str) -> Awaitable[None]:
    """allowed: networks, for a receiver by plain http."""
    return asyncio.wait_for(webhook(url, *allowed).deliver(EVENT), WAIT)


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_a_redirect_is_a_failure_and_is_not_followed(status: str) -> None:
    async with receiving() as receiver, receiving("127.0.0.2") as elsewhere:
        receiver.answer = f"HTTP/1.1 {status}\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(DeliveryError, match=status[:3]):
            await deliver(receiver.url, "127.0.0.0/8")
        assert (receiver.connections, elsewhere.connections) == (1, 0)


async def test_plain_http_sends_nothing_to_an_address_outside_the_allowed_networks(names: Names) -> None:
    """Even if the name resolved to an address within them a moment before."""
    async with receiving() as receiver, receiving("127.0.0.2", receiver.port) as outside:
        looked_up = names(["127.0.0.1"], ["127.0.0.2"])
        url = f"http://{NAME}:{receiver.port}/events"
        await deliver(url, "10.0.0.0/8", "127.0.0.1/32")
        assert (await receiver.requests.get()).headers["host"] == f"{NAME}:{receiver.port}"
        with pytest.raises(AddressNotAllowedError):
            await deliver(url, "10.0.0.0/8", "127.0.0.1/32")
        assert looked_up == [NAME, NAME]
        assert (receiver.connections, outside.requests.qsize()) == (1, 0)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving("127.0.0.2") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await deliver(receiver.url, "127.0.0.0/8")
        assert (receiver.connections, proxy.connections) == (1, 0)


async def test_the_body_of_a_response_is_not_read() -> None:
    async with receiving() as receiver:
        receiver.drips = True
        receiver.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        await deliver(receiver.url, "127.0.0.0/8")
        receiver.answer = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 65_536
        with pytest.raises(httpcore2.RemoteProtocolError):
            await deliver(receiver.url, "127.0.0.0/8")


@pytest.mark.parametrize("named", [NAME, "other.example"])
async def test_the_certificate_must_be_valid_for_the_name(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    certificate = tmp_path / "certificate.pem"
    write_certificate(certificate, NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    shown: list[str | None] = []
    tls.sni_callback = lambda _, name, __: shown.append(name)
    async with receiving(tls=tls) as receiver:
        names(["127.0.0.1"])
        delivery = deliver(f"https://{named}:{receiver.port}/events")
        if named == NAME:
            await delivery
        else:
            with pytest.raises(httpcore2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await delivery
        assert receiver.requests.qsize() == (named == NAME)
    assert shown == [named]


async def test_a_delivery_can_be_cancelled_while_the_resolver_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def hang(*_: object, **__: object) -> list[object]:
        loop.call_soon_threadsafe(asked.set)
        answered.wait(WAIT)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    delivery = asyncio.create_task(webhook(f"https://{NAME}/").deliver(EVENT))
    await asyncio.wait_for(asked.wait(), WAIT)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    answered.set()


async def test_a_name_without_addresses_is_a_failure(names: Names) -> None:
    names([])
    with pytest.raises(httpcore2.ConnectError):
        await deliver(f"https://{NAME}/")


def write_certificate(file: Path, name: str) -> None:
    """A self-signed certificate, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))

"""Attack: make the service send its events, or a request at all, to where they do not belong."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from graphql_mfa import SecurityEvent, Settings, webhooks
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.notifications import DeliveryError
from graphql_mfa.services import utc_now
from graphql_mfa.webhooks import Webhook
from tests.receiver import SECRET, receiving

WAIT = 20  # seconds, for what takes no time unless it is broken
NAME = "hooks.example"
EVENT = SecurityEvent(
    UUID(int=1), SecurityEventKind.SIGNED_IN, datetime(2026, 1, 1, tzinfo=UTC), UUID(int=2), "alice", None, None
)
FORBIDDEN = "leads to an address that may not be called"

Names = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the name leads to, one list of addresses after the other; returns what was looked up."""

    def lead(*answers: list[str]) -> list[str]:
        left, asked = list(answers), []

        async def resolve(host: str, _: int) -> list[str]:
            asked.append(host)
            return left.pop(0)

        monkeypatch.setattr(webhooks, "resolve", resolve)
        return asked

    return lead


def webhook(url: str, *allowed: str) -> Webhook:
    networks: Any = ",".join(allowed)
    secret: Any = SECRET
    return Webhook(
        Settings(webhook_url=url, webhook_secret=secret, webhook_allowed_networks=networks, bcrypt_rounds=12), utc_now
    )


def deliver(url: str, *allowed: str) -> Awaitable[None]:
    return asyncio.wait_for(webhook(url, *allowed).deliver(EVENT), WAIT)


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_a_redirect_is_a_failure_and_nobody_follows_it(status: str) -> None:
    async with receiving() as receiver, receiving("127.0.0.2") as elsewhere:
        receiver.answer = f"HTTP/1.1 {status}\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(DeliveryError, match=status[:3]):
            await deliver(receiver.url, "127.0.0.0/8")
        assert (receiver.connections, elsewhere.connections) == (1, 0)


async def test_a_name_that_leads_elsewhere_the_second_time_is_asked_once_and_called_where_it_was_checked(
    names: Names,
) -> None:
    async with receiving() as receiver, receiving("127.0.0.2", receiver.port) as inside:
        asked = names(["127.0.0.1"], ["127.0.0.2"])
        url = f"http://{NAME}:{receiver.port}/events"
        await deliver(url, "127.0.0.1/32")
        assert asked == [NAME]
        assert (await receiver.requests.get()).headers["host"] == f"{NAME}:{receiver.port}"
        with pytest.raises(DeliveryError, match=FORBIDDEN):
            await deliver(url, "127.0.0.1/32")
        assert (receiver.connections, inside.connections) == (1, 0)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "169.254.169.254", "fe80::1%lo"],
)
async def test_a_name_that_leads_inside_is_not_called_unless_its_network_is_allowed(names: Names, address: str) -> None:
    names([address], ["8.8.8.8", address])
    for _ in range(2):  # alone, and beside a public one
        with pytest.raises(DeliveryError, match=FORBIDDEN):
            await deliver(f"https://{NAME}/events", "10.0.0.0/8")


async def test_a_name_without_addresses_is_not_called(names: Names) -> None:
    names([])
    with pytest.raises(DeliveryError, match=FORBIDDEN):
        await deliver(f"https://{NAME}/events")


async def test_without_tls_nothing_is_sent_to_the_internet(names: Names) -> None:
    names(["8.8.8.8"])
    with pytest.raises(DeliveryError, match=FORBIDDEN):
        await deliver(f"http://{NAME}/events", "127.0.0.0/8")


async def test_the_next_address_is_tried_when_one_refuses(names: Names) -> None:
    async with receiving() as receiver:
        names(["127.0.0.2", "127.0.0.1"], ["127.0.0.2", "127.0.0.3"])
        url = f"http://{NAME}:{receiver.port}/"
        await deliver(url, "127.0.0.0/8")
        with pytest.raises(httpcore.ConnectError):
            await deliver(url, "127.0.0.0/8")
        assert receiver.connections == 1


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving("127.0.0.2") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await deliver(receiver.url, "127.0.0.0/8")
        assert (receiver.connections, proxy.connections) == (1, 0)


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with receiving() as receiver:
        receiver.answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50_000_000
        await deliver(receiver.url, "127.0.0.0/8")
        receiver.answer = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 50_000_000
        with pytest.raises(httpcore.RemoteProtocolError):
            await deliver(receiver.url, "127.0.0.0/8")


@pytest.mark.parametrize("named", [NAME, "other.example"])
async def test_the_certificate_has_to_be_the_names_wherever_it_leads(
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
        delivery = deliver(f"https://{named}:{receiver.port}/events", "127.0.0.0/8")
        if named == NAME:
            await delivery
        else:
            with pytest.raises(httpcore.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await delivery
        assert receiver.requests.qsize() == (named == NAME)
    assert shown == [named]


async def test_a_resolver_that_does_not_answer_takes_no_more_time_than_a_delivery_may(
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


async def test_a_name_that_nobody_knows_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        await deliver(f"https://{NAME}/")


def write_certificate(file: Path, name: str) -> None:
    """One that signs itself, with its key."""
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

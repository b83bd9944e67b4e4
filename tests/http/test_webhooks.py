"""The requests that a receiver of webhooks gets, and their signatures."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from graphql_mfa import SecurityEvent
from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.flows import notifications, operators
from graphql_mfa.services import utc_now
from graphql_mfa.testing import SoftwarePasskey
from graphql_mfa.webhooks import Webhook
from tests import passkeys
from tests.api.scenarios import RunApp
from tests.authenticator import code_at
from tests.clock import WAIT, Clock
from tests.conftest import Connect
from tests.passkeys import PASSKEYS
from tests.receiver import SECRET, Request, WebhookReceiver, receiving
from tests.security.attacks import WRONG_PASSWORD
from tests.security.test_secret_leaks import texts_of, whole_story

OTHER_SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def configured(receiver: WebhookReceiver) -> dict[str, Any]:
    """The settings that name the receiver."""
    return {"webhook_url": receiver.url, "webhook_secret": SECRET, "webhook_allowed_networks": "127.0.0.0/8"}


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_POLL_SECONDS", 0.01)


async def following(receiver: WebhookReceiver) -> Request:
    return await asyncio.wait_for(receiver.requests.get(), WAIT)


async def all_until(receiver: WebhookReceiver, kind: str) -> list[Request]:
    """The requests up to the event of a kind."""
    requests = [await following(receiver)]
    while requests[-1].event["data"]["kind"] != kind:
        requests.append(await following(receiver))
    return requests


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(WAIT):
        while text not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_sign_in_is_sent_as_the_specification_says(
    run_app: RunApp, connect: Connect, receiver: WebhookReceiver, configured: dict[str, Any]
) -> None:
    async with run_app(**configured) as app:
        member = await connect(app, "192.0.2.7").member()
        *_, request = await all_until(receiver, "SIGNED_IN")
    assert request.line == "POST /events HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    identity = request.event["data"].pop("id")
    assert UUID(identity).version == 7
    assert request.headers["webhook-id"] == identity
    agent = request.event["data"]["userAgent"]
    assert agent.startswith("python-httpx/")
    assert request.event == {
        "type": "user.signed_in",
        "timestamp": "2026-01-01T00:00:10.000Z",
        "data": {
            "id": identity,
            "kind": "SIGNED_IN",
            "userId": member.session["user"]["id"],
            "username": "alice",
            "ipAddress": "192.0.2.7",
            "userAgent": agent,
            "count": None,
            "factor": "TOTP",
        },
    }


async def test_the_factor_of_an_event_is_sent(
    run_app: RunApp, connect: Connect, receiver: WebhookReceiver, configured: dict[str, Any]
) -> None:
    async with run_app(**configured, **PASSKEYS) as app:
        await passkeys.enroll(connect(app), (await connect(app).register())["challenge"], SoftwarePasskey())
        events = [request.event for request in await all_until(receiver, "SIGNED_IN")]
    assert [(event["type"], event["data"]["factor"]) for event in events] == [
        ("user.registered", None),
        ("user.enrollment_confirmed", "PASSKEY"),
        ("user.signed_in", "PASSKEY"),
    ]


async def test_the_number_of_refused_passwords_is_sent(
    run_app: RunApp, connect: Connect, receiver: WebhookReceiver, configured: dict[str, Any], clock: Clock
) -> None:
    async with run_app(**configured) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(5):
            await connect(app, "203.0.113.9").login(password=WRONG_PASSWORD)
        await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
        *_, request = await all_until(receiver, "PASSWORDS_REFUSED")
    assert (request.event["type"], request.event["data"]["count"]) == ("user.passwords_refused", 5)


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
async def test_the_signature_of_each_secret_verifies_by_library_and_by_hand(
    make_settings: Callable[..., Any], receiver: WebhookReceiver, configured: dict[str, Any], secret: str
) -> None:
    settings = make_settings(**configured | {"webhook_secret": f"{SECRET} {OTHER_SECRET}"})
    await Webhook(settings, utc_now).deliver(event())
    request = await following(receiver)
    assert Verifier(secret).verify(request.body, request.headers) == request.event
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(request.body.replace("alice", "bob"), request.headers)

    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.{request.body}"
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed.encode(), hashlib.sha256)
    assert f"v1,{base64.b64encode(digest).decode()}" in request.headers["webhook-signature"].split(" ")


async def test_a_retry_has_the_same_id_and_a_new_timestamp(
    run_app: RunApp,
    connect: Connect,
    receiver: WebhookReceiver,
    configured: dict[str, Any],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    async with run_app(**configured) as app:
        await connect(app).register()
        first = await following(receiver)
        await until_logged(caplog, "Delivering an event to webhook failed")
        receiver.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        clock.advance(6)
        second = await following(receiver)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    times = [int(request.headers["webhook-timestamp"]) for request in (first, second)]
    assert times[1] - times[0] == 6
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_a_failure_is_logged_without_the_receivers_url_and_response(
    run_app: RunApp,
    connect: Connect,
    receiver: WebhookReceiver,
    configured: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.answer = b"HTTP/1.1 500 hunter2\r\nContent-Length: 0\r\n\r\n"
    async with run_app(**configured) as app:
        await connect(app).register()
        await following(receiver)
        await until_logged(caplog, "Delivering an event to webhook failed")
    ours = [record.getMessage() for record in caplog.records if record.name == "graphql_mfa"]
    assert ours == ["Delivering an event to webhook failed, attempt 1: status 500"]


async def test_a_response_that_never_ends_is_aborted_at_the_delivery_timeout(
    run_app: RunApp,
    connect: Connect,
    receiver: WebhookReceiver,
    configured: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.notifications.DELIVERY_SECONDS", 1)
    receiver.answer, receiver.drips = b"HTTP/1.1 102 Processing\r\n\r\n", True
    async with run_app(**configured) as app:
        await connect(app).register()
        await until_logged(caplog, "Delivering an event to webhook failed, attempt 1: TimeoutError")
    assert receiver.connections == 1


async def test_events_by_operators_are_sent_with_the_name_of_a_deleted_account(
    run_app: RunApp,
    connect: Connect,
    receiver: WebhookReceiver,
    configured: dict[str, Any],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications, "_STOP_SECONDS", 0.01)
    async with run_app(**configured) as app:
        api, services = connect(app), app.state.services
        await api.register()
        await following(receiver)
        receiver.answer = None  # later events wait until the account is deleted
        await operators.disable(services, "alice")
        await following(receiver)
        await operators.delete(services, "alice")
    receiver.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    clock.advance(41)  # the stopped server's lease is over
    async with run_app(**configured):
        events = [request.event for request in await all_until(receiver, "DELETED_BY_OPERATOR")]
    assert [event["type"] for event in events] == ["user.disabled_by_operator", "user.deleted_by_operator"]
    assert [event["data"]["username"] for event in events] == ["alice", "alice"]
    assert events[0]["data"]["ipAddress"] is None


async def test_no_request_contains_a_secret(
    run_app: RunApp, connect: Connect, receiver: WebhookReceiver, configured: dict[str, Any]
) -> None:
    async with run_app(**configured) as app:
        answers, secrets, codes = await whole_story(connect(app))
        requests = await all_until(receiver, "SESSION_ENDED")
    assert {request.event["type"] for request in requests} > {"user.signed_in", "user.recovery_code_used"}
    sent = "\n".join(f"{request.line} {request.headers} {request.body}" for request in requests)
    assert [secret for secret in secrets | {SECRET} if secret in sent] == []
    sent_texts = {text for request in requests for text in texts_of(request.event)}
    assert sent_texts & codes == set()
    assert answers


@pytest.mark.parametrize("kind", SecurityEventKind)
def test_every_kind_of_event_has_a_documented_type(kind: SecurityEventKind) -> None:
    assert re.fullmatch(r"user(\.[a-z_]+)+", kind.type)
    assert f"`{kind.type}`" in OPERATIONS


def test_every_documented_type_exists() -> None:
    assert set(re.findall(r"`(user\.[a-z_]+)`", OPERATIONS)) == {kind.type for kind in SecurityEventKind}


async def test_the_documented_verification_works(
    make_settings: Callable[..., Any],
    receiver: WebhookReceiver,
    configured: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (code,) = re.findall(r"```python\n(from standardwebhooks.*?)```", OPERATIONS, re.DOTALL)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(code, names)
    await Webhook(make_settings(**configured), utc_now).deliver(event())
    request = await following(receiver)
    assert names["event_of"](request.body.encode(), request.headers) == json.loads(request.body)
    with pytest.raises(WebhookVerificationError):
        names["event_of"](request.body.encode(), request.headers | {"webhook-id": "another"})


def event() -> SecurityEvent:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return SecurityEvent(
        event_id(now, 0), SecurityEventKind.SIGNED_IN, now, UUID(int=1), "alice", "192.0.2.7", 'ä "quoted" agent'
    )

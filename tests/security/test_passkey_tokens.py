"""Attack: get tokens by a passkey past the host's claims, or into a script that must not read them."""

from typing import NoReturn

from graphql_mfa import ClaimsRequest
from graphql_mfa.testing import SoftwarePasskey
from tests.account import document
from tests.conftest import Connect
from tests.passkeys import PASSKEYS, answer, enroll, sign_in, step_up
from tests.security.attacks import at_once, kinds, scalar, sessions_of
from tests.security.passkey_attacks import (
    RunApp,
    begin_enrolling,
    begin_sign_in,
    finish_enrolling,
    finish_sign_in,
    member_with_passkey,
    passkey_account,
    refused_answer,
    token_of,
)


async def test_the_host_is_asked_for_claims_of_who_proved_nothing(run_app: RunApp, connect: Connect) -> None:
    """It learns how the session began, and is asked only once a passkey was accepted."""
    requests: list[ClaimsRequest] = []

    def claims(request: ClaimsRequest) -> dict[str, object]:
        requests.append(request)
        return {"role": "member"}

    async with run_app(**PASSKEYS, claims=claims) as app:
        api = connect(app)
        _, key = await passkey_account(api)
        assert [*requests[-1].amr] == ["pwd", "hwk", "user", "mfa"]
        asked = len(requests)
        for challenge in (None, await api.challenge()):
            given = refused_answer(await begin_sign_in(api, challenge), key)
            assert (await finish_sign_in(api, given))["__typename"] == "PasskeyRejected"
        assert len(requests) == asked
        alone = await sign_in(api, key)
        assert requests[-1].session_id is None
        assert [*requests[-1].amr] == ["hwk", "user", "mfa"]
        assert (await step_up(api, token_of(alone), key))["__typename"] == "Reauthenticated"
        assert len(requests) == asked + 2


async def test_a_ceremony_is_used_up_although_the_host_failed(run_app: RunApp, connect: Connect) -> None:
    """The client sends the same answer again: nothing was stored, neither the passkey nor the session."""
    is_down = False

    def claims(_: ClaimsRequest) -> dict[str, object]:
        if is_down:
            fail()
        return {}

    def fail() -> NoReturn:
        raise ConnectionError("the host's database is down")

    async with run_app(**PASSKEYS, claims=claims) as app:
        api, services = connect(app), app.state.services
        key = SoftwarePasskey()
        given = answer(await begin_enrolling(api, (await api.register())["challenge"]), key)
        for begin, finish in ((None, finish_enrolling), (begin_sign_in, finish_sign_in)):
            if begin:
                given = answer(await begin(api), key)
            before = await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies")
            is_down = True
            mutation = "finishPasskeyLogin" if begin else "finishPasskeyRegistration"
            failed = await api.send(document(mutation), {"input": given})
            assert failed.json()["errors"]
            assert await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies") == before
            is_down = False
            assert (await finish(api, given))["__typename"] in {"EnrollmentConfirmed", "SignedIn"}
        assert await sessions_of(services) == 2


async def test_one_answer_sent_often_while_the_host_is_asked(run_app: RunApp, connect: Connect) -> None:
    """All of them are right in the first run, and one in the second."""
    async with run_app(**PASSKEYS, claims=lambda _: {}) as app:
        api = connect(app)
        _, key = await member_with_passkey(api)
        given = answer(await begin_sign_in(api, await api.challenge()), key)
        answers = kinds(await at_once(finish_sign_in(api, given) for _ in range(10)))
        assert answers == {"SignedIn": 1, "ChallengeExpired": 9}


async def test_a_script_reads_the_refresh_token_of_a_passkey(run_app: RunApp, connect: Connect) -> None:
    """In cookie mode it is in no answer, of a first passkey nor of a sign-in."""
    async with run_app(**PASSKEYS, session_transport="cookie") as app:
        api = connect(app)
        api.http.headers.update({"GraphQL-Require-Preflight": "true", "Origin": "http://testserver"})
        key = SoftwarePasskey()
        for outcome in (
            await enroll(api, (await api.register())["challenge"], key),
            await sign_in(api, key),
            await sign_in(api, key, await api.challenge()),
        ):
            assert outcome["tokens"]["refreshToken"] is None
        given = answer(await begin_sign_in(api), key)
        another = await api.send(document("finishPasskeyLogin"), {"input": given})
        assert another.headers["Set-Cookie"].startswith("__Host-graphql-mfa-refresh=mfar_")
        assert "mfar_" not in another.text

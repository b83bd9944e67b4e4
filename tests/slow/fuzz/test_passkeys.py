"""Answers that no passkey gives, and tokens of no ceremony, over HTTP: refused with an outcome, in bounded work."""

import json
from dataclasses import dataclass
from itertools import count

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from graphql_mfa.core.passkeys import CeremonyPurpose
from tests.account import act, document
from tests.api_client import Api, Member, Result
from tests.core.ceremonies import ED, HostilePasskey, with_appended, with_members
from tests.http.requests import JSON, assert_refusal, function_calls, post
from tests.passkeys import ORIGIN, add_passkey, answer, remove
from tests.slow.fuzz.answers import FUZZ, MARKER, assert_answer
from tests.slow.fuzz.texts import CREDENTIALS, MEMBERS, SECRETS

SUCCESSES = {"SignedIn", "EnrollmentConfirmed", "PasskeyAdded", "Reauthenticated"}
REFUSALS = {"PasskeyRejected", "PasskeyUnknown", "UserVerificationRequired", "ChallengeExpired"}
SIGNED = ("clientDataJSON", "authenticatorData", "signature")

# --------------------------------------------------------------------------------------------------------- ceremonies

FINISH = {
    CeremonyPurpose.SIGN_IN: "finishPasskeyLogin",
    CeremonyPurpose.SECOND_FACTOR: "finishPasskeyLogin",
    CeremonyPurpose.STEP_UP: "reauthenticate",
    CeremonyPurpose.ADD: "finishPasskeyRegistration",
    CeremonyPurpose.ENROLL: "finishPasskeyRegistration",
}
PURPOSES = st.sampled_from(CeremonyPurpose)
names = map("user{}".format, count())


def new_passkey() -> HostilePasskey:
    # A synced one is accepted though its counter went back.
    return HostilePasskey(origin=ORIGIN, synced=True)


@dataclass(frozen=True)
class Account:
    """Alice, who has an authenticator app and a passkey."""

    member: Member
    passkey: HostilePasskey

    def authenticator(self, purpose: CeremonyPurpose) -> HostilePasskey:
        return new_passkey() if purpose.registers else self.passkey


@pytest.fixture
async def account(api: Api) -> Account:
    member, passkey = await api.member(), new_passkey()
    assert (await add_passkey(api, member.access_token, passkey))["__typename"] == "PasskeyAdded"
    return Account(member, passkey)


async def begin(api: Api, account: Account, purpose: CeremonyPurpose) -> Result:
    token = account.member.access_token
    match purpose:
        case CeremonyPurpose.SIGN_IN:
            return await act(api, "beginPasskeyLogin")
        case CeremonyPurpose.SECOND_FACTOR:
            challenge = await api.challenge()
            return await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
        case CeremonyPurpose.STEP_UP:
            return await act(api, "beginPasskeyReauthentication", token)
        case CeremonyPurpose.ADD:
            return await act(api, "beginPasskeyRegistration", token)
        case CeremonyPurpose.ENROLL:
            challenge = (await api.register(next(names)))["challenge"]
            return await act(api, "beginPasskeyRegistration", input={"challengeToken": challenge["token"]})


def outcome(purpose: CeremonyPurpose, response: httpx.Response) -> Result:
    """The member of the union, without an error."""
    assert_answer(response)
    answered = response.json()
    assert "errors" not in answered, answered
    result: Result = answered["data"][FINISH[purpose]]
    return result


async def finish(api: Api, account: Account, purpose: CeremonyPurpose, given: Result) -> str:
    """Send an answer. Returns its outcome's type."""
    token = account.member.access_token
    values = {"passkey": given} if purpose is CeremonyPurpose.STEP_UP else given
    body = json.dumps({"query": document(FINISH[purpose]), "variables": {"input": values}})
    result = outcome(purpose, await post(api, body, JSON | {"Authorization": f"Bearer {token}"}))
    if result["__typename"] == "PasskeyAdded":  # an account has room for ten
        await remove(api, token, result["passkey"]["id"])
    name: str = result["__typename"]
    return name


# ------------------------------------------------------------------------------------------------------------- faults

CBOR = [
    b"",
    b"\x80",
    b"\xa0",
    b"\xf6",
    b"\xff",
    b"\x81" * 300,
    b"\xd9\x01\x02\x81" * 200,
    b"\x9b" + b"\xff" * 8,
    b"\xbb" + b"\xff" * 8,
    b"\x5b" + b"\x7f" * 8,
    b"\xa2\x01\x01\x01\x01",
    b"\xc0\x61x",
    b"\xc1\x1b" + b"\xff" * 8,
    b"\xc2\x58\x40" + b"\xff" * 0x40,
    b"\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01",
    b"\xc5\x82\x1b" + b"\x7f" * 8 + b"\x01",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xd8\x1d\x18\x63",
    b"\xd8\x1e\x82\x01\x00",
    b"\xd8\x23\x63(((",
    b"\xd8\x24\x61x",
    b"\xd9\x01\x04\x41x",
]
"""Hostile or malformed CBOR: nesting, lengths beyond the end, duplicate keys, references, tags of other types."""
LONG_CBOR = [
    b"\x81" * 40_000,
    b"\x9f" * 40_000,
    b"\xa1\x01" * 20_000,
    b"\xd9\x01\x02\x81" * 10_000,
    b"\x98\x20" * 1_000,
    b"\xc2\x59\x9c\x40" + b"\xff" * 40_000,
    b"\x79\x9c\x40" + b"x" * 40_000,
]


@dataclass(frozen=True)
class Edit:
    """Bytes that replace others."""

    at: int
    deleted: int
    inserted: bytes

    def of(self, encoded: str) -> str:
        data = base64url_to_bytes(encoded)
        at = self.at % (len(data) + 1)
        return bytes_to_base64url(data[:at] + self.inserted + data[at + self.deleted :])


EDITS = st.builds(
    Edit, st.integers(0, 300), st.sampled_from([0, 1, 4, 100_000]), st.binary(max_size=4) | st.sampled_from(CBOR)
)


@FUZZ
@given(
    purpose=PURPOSES,
    client_members=st.dictionaries(
        st.sampled_from(["type", "challenge", "origin", "crossOrigin", "topOrigin", "tokenBinding"]),
        CREDENTIALS,
        max_size=1,
    ),
    extensions=st.none() | st.sampled_from(CBOR),
    edits=st.dictionaries(st.sampled_from(["attestationObject", *SIGNED]), EDITS, max_size=1),
    members=st.dictionaries(st.sampled_from(MEMBERS), st.none() | CREDENTIALS, max_size=2),
)
async def test_an_answer_with_faults_is_refused_with_an_outcome(
    api: Api,
    account: Account,
    purpose: CeremonyPurpose,
    client_members: Result,
    extensions: bytes | None,
    edits: dict[str, Edit],
    members: Result,
) -> None:
    authenticator = account.authenticator(purpose)
    authenticator.client_members = client_members
    authenticator.flipped, authenticator.appended = (0, b"") if extensions is None else (ED, extensions)
    given = answer(await begin(api, account, purpose), authenticator)
    response = given["credential"]["response"]
    signed = {name: response[name] for name in SIGNED if not purpose.registers}
    response |= {name: edit.of(response[name]) for name, edit in edits.items() if name in response}
    for name, value in members.items():
        (response if name in response else given["credential"])[name] = value
    was_changed = any(response[name] != text for name, text in signed.items())
    must_fail = was_changed or not client_members.keys().isdisjoint({"type", "challenge", "origin", "topOrigin"})

    assert await finish(api, account, purpose, given) in (REFUSALS if must_fail else REFUSALS | SUCCESSES)


@FUZZ
@given(purpose=PURPOSES, credential=CREDENTIALS)
async def test_any_json_in_place_of_an_answer_is_refused_with_an_outcome(
    api: Api, account: Account, purpose: CeremonyPurpose, credential: object
) -> None:
    begun = await begin(api, account, purpose)
    given = {"ceremonyToken": begun["ceremonyToken"], "credential": credential}

    assert await finish(api, account, purpose, given) in REFUSALS


@FUZZ
@given(purpose=PURPOSES, begun_for=PURPOSES, edit=st.none() | EDITS)
async def test_a_token_of_another_ceremony_or_of_none_is_refused(
    api: Api, account: Account, purpose: CeremonyPurpose, begun_for: CeremonyPurpose, edit: Edit | None
) -> None:
    given = answer(await begin(api, account, purpose), account.authenticator(purpose))
    token = (await begin(api, account, begun_for))["ceremonyToken"]
    prefix, _, sealed = token.partition("_")
    given["ceremonyToken"] = f"{prefix}_{edit.of(sealed)}" if edit else token
    assume(edit is None or given["ceremonyToken"] != token)

    assert await finish(api, account, purpose, given) in ({"ChallengeExpired"} if edit else REFUSALS)


@FUZZ
@given(purpose=PURPOSES, token=SECRETS)
async def test_text_in_place_of_a_token_is_refused(
    api: Api, account: Account, purpose: CeremonyPurpose, token: str
) -> None:
    given = answer(await begin(api, account, purpose), account.authenticator(purpose))

    assert await finish(api, account, purpose, given | {"ceremonyToken": token}) == "ChallengeExpired"


# --------------------------------------------------------------------------------------------------------------- work

LONG = 40_000
HOSTILE: list[tuple[str, object]] = [
    *(("response.attestationObject", bytes_to_base64url(cbor)) for cbor in [*CBOR, *LONG_CBOR]),
    ("response.clientDataJSON", bytes_to_base64url(b'{"type": "' + MARKER.encode() * 4_000)),
    ("response.clientDataJSON", bytes_to_base64url(b"[" * LONG)),
    ("response.clientDataJSON", bytes_to_base64url(b"[" * 20_000 + b"]" * 20_000)),
    ("response.clientDataJSON", bytes_to_base64url(b"9" * LONG)),
    ("response.signature", bytes_to_base64url(b"0" * LONG)),
    ("response.authenticatorData", bytes_to_base64url(b"\xff" * LONG)),
    ("response.userHandle", bytes_to_base64url(b"x" * LONG)),
    ("response.transports", ["usb", "\ud800", 1, None, {}] * 150),
    ("id", bytes_to_base64url(b"x" * LONG)),
    ("extra", {str(number): None for number in range(900)}),
]


async def test_a_hostile_member_of_an_answer_takes_bounded_work(
    api: Api, account: Account, subtests: pytest.Subtests
) -> None:
    for purpose in CeremonyPurpose:
        for path, value in HOSTILE:
            with subtests.test(purpose=purpose.value, path=path, value=str(value)[:20]):
                given = answer(await begin(api, account, purpose), account.authenticator(purpose))
                given["credential"] = with_members({path: value})(given["credential"])

                with function_calls():
                    assert await finish(api, account, purpose, given) in REFUSALS | SUCCESSES


async def test_hostile_extensions_of_an_authenticator_take_bounded_work(
    api: Api, account: Account, subtests: pytest.Subtests
) -> None:
    for purpose in CeremonyPurpose:
        for cbor in [*CBOR, *LONG_CBOR]:
            with subtests.test(purpose=purpose.value, cbor=cbor[:8].hex()):
                authenticator = account.authenticator(purpose)
                authenticator.flipped, authenticator.appended = ED, b"" if purpose.registers else cbor
                given = answer(await begin(api, account, purpose), authenticator)
                if purpose.registers:
                    given["credential"] = with_appended(cbor)(given["credential"])

                with function_calls():
                    assert await finish(api, account, purpose, given) in REFUSALS | SUCCESSES


UNREADABLE = ["9" * 5_000, "[" * 20_000 + "]" * 20_000, '{"a":' * 500 + "1" + "}" * 500, "NaN"]
READABLE = ["[" * 40 + "]" * 40, '{"response":' * 40 + "1" + "}" * 40, "1e999", "-1e999", "1" * 4_000]
LITERALS = [
    "9" * 5_000,
    "[" * 40 + "]" * 40,
    "{response: " * 40 + "1" + "}" * 40,
    "1e999",
    "RED",
    f'{{id: ["{MARKER}"]}}',
]


async def finish_with(api: Api, credential: str) -> httpx.Response:
    token = (await act(api, "beginPasskeyLogin"))["ceremonyToken"]
    values = f'{{"input": {{"ceremonyToken": "{token}", "credential": {credential}}}}}'
    return await post(api, f'{{"query": {json.dumps(document("finishPasskeyLogin"))}, "variables": {values}}}')


async def test_unreadable_json_in_place_of_an_answer_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for text in UNREADABLE:
        with subtests.test(text[:20]), function_calls():
            assert_refusal(await finish_with(api, text), 400)


async def test_deep_json_and_large_numbers_in_place_of_an_answer_are_refused_with_an_outcome(
    api: Api, subtests: pytest.Subtests
) -> None:
    for text in READABLE:
        with subtests.test(text[:20]), function_calls():
            assert outcome(CeremonyPurpose.SIGN_IN, await finish_with(api, text))["__typename"] in REFUSALS


async def test_a_literal_in_place_of_an_answer_is_refused_with_an_outcome(api: Api, subtests: pytest.Subtests) -> None:
    for text in LITERALS:
        with subtests.test(text[:20]), function_calls():
            token = (await act(api, "beginPasskeyLogin"))["ceremonyToken"]
            values = f'{{ceremonyToken: "{token}", credential: {text}}}'
            response = await api.send(f"mutation {{ finishPasskeyLogin(input: {values}) {{ __typename }} }}")
            assert outcome(CeremonyPurpose.SIGN_IN, response)["__typename"] in REFUSALS

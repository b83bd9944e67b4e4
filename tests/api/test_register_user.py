"""registerUser."""

import asyncio
import re
from collections import Counter
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest

from graphql_mfa.services import Services
from tests.api.answers import SENTENCE, failure, rate_limited
from tests.api.scenarios import RunApp, import_user
from tests.api_client import PASSWORD, Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect

FULL_ENROLLMENT = """mutation RegisterUser($input: RegisterUserInput!) {
  registerUser(input: $input) {
    ... on RegisterUserSuccess { enrollment { secret otpauthUri qrCode } }
  }
}"""


async def test_a_new_account_comes_with_an_enrollment_and_a_challenge_to_confirm_it_with(
    api: Api, clock: Clock
) -> None:
    registered = await api.register("Alice")
    assert registered["__typename"] == "RegisterUserSuccess"
    user, challenge = registered["user"], registered["challenge"]
    assert user == {
        "id": user["id"],
        "username": "Alice",
        "createdAt": "2026-01-01T00:00:10+00:00",
        "mfaEnabled": False,
        "recoveryCodesLeft": 0,
    }
    assert challenge == {
        "token": challenge["token"],
        "expiresAt": "2026-01-01T00:05:10+00:00",
        "expiresIn": 300,
        "attemptsLeft": 5,
        "factors": ["TOTP"],
        "otpRetryAfter": None,
    }
    confirmed = await api.verify_otp(challenge, code_at(registered["enrollment"]["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert confirmed["user"]["id"] == user["id"]


async def test_an_enrollment_has_a_160_bit_secret_its_uri_and_a_picture_of_the_uri(api: Api) -> None:
    registered = await api.run(FULL_ENROLLMENT, {"input": {"username": "alice b", "password": PASSWORD}})
    enrollment = registered["enrollment"]
    assert re.fullmatch("[A-Z2-7]{32}", enrollment["secret"])
    uri = urlsplit(enrollment["otpauthUri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/GraphQL MFA:alice b")
    assert parse_qs(uri.query) == {"secret": [enrollment["secret"]], "issuer": ["GraphQL MFA"]}
    header, _, picture = enrollment["qrCode"].partition(",")
    assert header.startswith("data:image/svg+xml")
    svg = ElementTree.fromstring(unquote(picture))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    background = next(svg.iter("{http://www.w3.org/2000/svg}path"))
    assert background.get("fill") == "#fff", "white, for dark mode"


async def test_a_long_name_is_shortened_in_the_qr_code(run_app: RunApp, connect: Connect) -> None:
    name = "🐈" * 250
    async with run_app(username_max_length=255) as app:
        variables = {"input": {"username": name, "password": PASSWORD}}
        enrollment = (await connect(app).run(FULL_ENROLLMENT, variables))["enrollment"]
    issuer, _, label = unquote(urlsplit(enrollment["otpauthUri"]).path).removeprefix("/").partition(":")
    assert issuer == "GraphQL MFA"
    assert len(label) > 200
    assert name.startswith(label)
    assert enrollment["qrCode"].startswith("data:image/svg+xml")


async def test_two_accounts_have_different_secrets(api: Api) -> None:
    one, other = await api.register("alice"), await api.register("bob")
    for secret in ("user", "id"), ("enrollment", "secret"), ("challenge", "token"):
        assert one[secret[0]][secret[1]] != other[secret[0]][secret[1]]


async def test_invalid_input_is_reported_by_field(api: Api, subtests: pytest.Subtests) -> None:
    for username, password, problems in [
        ("al", PASSWORD, {("username", "TOO_SHORT")}),
        ("a" * 65, PASSWORD, {("username", "TOO_LONG")}),
        ("al:ice", PASSWORD, {("username", "INVALID_CHARACTERS")}),
        ("alice", "7 chars", {("password", "TOO_SHORT")}),
        ("alice", "x" * 129, {("password", "TOO_LONG")}),
        ("alice", "password123", {("password", "TOO_COMMON")}),
        ("alice", "i am Alice of Wonderland", {("password", "CONTAINS_USERNAME")}),
        ("al", "7 chars", {("username", "TOO_SHORT"), ("password", "TOO_SHORT")}),
        ("al:ice", "password123", {("username", "INVALID_CHARACTERS"), ("password", "TOO_COMMON")}),
        ("a" * 65, "x" * 129, {("username", "TOO_LONG"), ("password", "TOO_LONG")}),
    ]:
        with subtests.test(username=username, password=password, problems=problems):
            refused = await api.register(username, password)
            assert refused["__typename"] == "InvalidInput"
            assert refused["message"] == " ".join(problem["message"] for problem in refused["fields"])
            assert {(problem["field"], problem["code"]) for problem in refused["fields"]} == problems
            assert len(refused["fields"]) == len(problems)
            assert all(problem["message"] == SENTENCE for problem in refused["fields"])


@pytest.mark.parametrize(
    ("username", "password"),
    [("abc", "zq7&vB!x"), ("d" * 64, "Weißwürste " * 11 + "mit Sen")],
    ids=["shortest", "longest"],
)
async def test_names_and_passwords_of_the_lengths_in_policy_are_accepted(
    api: Api, username: str, password: str
) -> None:
    assert len(password) in {8, 128}
    assert (await api.register(username, password))["__typename"] == "RegisterUserSuccess"
    assert (await api.login(username, password))["__typename"] == "OtpRequired"


async def test_a_name_that_looks_like_an_existing_one_is_taken(api: Api, subtests: pytest.Subtests) -> None:
    await api.register("coca1")
    for name in ("соса1", "COCAl", "c0ca1"):  # noqa: RUF001
        with subtests.test(name):
            assert await api.register(name) == failure("UsernameTaken")
            assert (await api.login(name))["__typename"] == "InvalidCredentials"
    assert (await api.register("coca2"))["__typename"] == "RegisterUserSuccess"


async def test_mixed_scripts_are_refused_in_new_names_only(api: Api, services: Services) -> None:
    name = "pаypаl"  # noqa: RUF001
    await import_user(services, PASSWORD, name)
    assert (await api.login(name))["__typename"] == "OtpRequired"
    refused = await api.register("mіx")  # noqa: RUF001
    assert [(field["field"], field["code"]) for field in refused["fields"]] == [("username", "INVALID_CHARACTERS")]
    assert (await api.register("иван@example.com"))["__typename"] == "RegisterUserSuccess"


async def test_a_lookalike_name_is_free_once_the_unconfirmed_account_expires(api: Api, clock: Clock) -> None:
    await api.register("coca")
    clock.advance(86_400)
    assert (await api.register("c0ca"))["__typename"] == "RegisterUserSuccess"
    assert await api.register("coca") == failure("UsernameTaken")


async def test_a_name_is_taken_whatever_its_case_width_or_composition(api: Api, subtests: pytest.Subtests) -> None:
    for taken, wanted in [
        ("bob", "bob"),
        ("carol", "CAROL"),
        ("Alice", "ａｌｉｃｅ"),  # noqa: RUF001 - full-width letters
        ("José", "jose\u0301"),
        ("straße", "STRASSE"),
    ]:
        with subtests.test(taken=taken, wanted=wanted):
            await api.register(taken)
            assert await api.register(wanted) == failure("UsernameTaken")


async def test_one_of_fifty_parallel_registrations_of_one_name_succeeds(run_app: RunApp, connect: Connect) -> None:
    async with run_app(hashing_slots=100) as app:
        api = connect(app)
        answers = await asyncio.gather(*(api.register() for _ in range(50)))
    assert Counter(answer["__typename"] for answer in answers) == {"RegisterUserSuccess": 1, "UsernameTaken": 49}


async def test_the_name_of_an_account_that_was_never_confirmed_is_free_after_a_day(api: Api, clock: Clock) -> None:
    await api.register()
    clock.advance(86_400 - 1)
    assert (await api.register())["__typename"] == "UsernameTaken"
    clock.advance(1)
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.register())["__typename"] == "RegisterUserSuccess"


async def test_the_name_of_a_confirmed_account_stays_taken(api: Api, clock: Clock) -> None:
    await api.member()
    clock.advance(timedelta(days=400).total_seconds())
    assert (await api.register())["__typename"] == "UsernameTaken"


async def test_closed_registration_does_not_validate_the_input(run_app: RunApp, connect: Connect) -> None:
    async with run_app(registration_open=False) as app:
        for password in (PASSWORD, "short"):
            assert await connect(app).register(password=password) == failure("RegistrationClosed")


async def test_an_address_can_register_twenty_times_an_hour(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(registration_attempts=20) as app:
        api = connect(app)
        await asyncio.gather(*(api.register(f"user{number}") for number in range(20)))
        clock.advance(600)
        assert await api.register("late") == rate_limited(3000)
        assert (await connect(app, "10.0.0.2").register("late"))["__typename"] == "RegisterUserSuccess"
        clock.advance(3000)
        assert (await api.register("later"))["__typename"] == "RegisterUserSuccess"


async def test_invalid_input_is_not_counted_as_a_registration(run_app: RunApp, connect: Connect) -> None:
    async with run_app(registration_attempts=1) as app:
        api = connect(app)
        assert (await api.register(password="short"))["__typename"] == "InvalidInput"
        assert (await api.register())["__typename"] == "RegisterUserSuccess"

"""login."""

import bcrypt
import pytest

from graphql_mfa.services import Services
from tests.api.answers import failure, rate_limited
from tests.api.scenarios import RunApp, import_user
from tests.api_client import PASSWORD, Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.store import rows

INVALID_CREDENTIALS = failure("InvalidCredentials")


async def test_a_right_password_returns_a_challenge(api: Api) -> None:
    await api.member()
    required = await api.login()
    challenge = required["challenge"]
    assert required == {
        "__typename": "OtpRequired",
        "challenge": {
            "token": challenge["token"],
            "expiresAt": "2026-01-01T00:05:40+00:00",
            "expiresIn": 300,
            "attemptsLeft": 5,
            "factors": ["TOTP", "RECOVERY_CODE"],
            "otpRetryAfter": None,
        },
        "enrollmentPending": False,
    }


@pytest.mark.parametrize("typed", ["alice ", " Alice", "alice\n", "alice\u00a0", "\ufeffalice\u200e"], ids=ascii)
async def test_spaces_around_a_name_are_ignored(api: Api, typed: str) -> None:
    await api.member()
    assert (await api.login(typed))["__typename"] == "OtpRequired"


async def test_an_account_that_never_verified_a_code_has_a_pending_enrollment(api: Api) -> None:
    await api.register()
    required = await api.login()
    assert required["enrollmentPending"] is True
    assert required["challenge"]["factors"] == ["TOTP"]


async def test_the_challenge_of_an_imported_account_without_a_device_has_no_factors(
    api: Api, services: Services
) -> None:
    await import_user(services, "imported")
    required = await api.login(password="imported")
    assert required["enrollmentPending"] is True
    assert required["challenge"]["factors"] == []
    assert required["challenge"]["otpRetryAfter"] is None


async def test_the_challenge_says_how_long_one_time_codes_are_blocked(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()
    for _ in range(5):
        await api.verify_otp(challenge, wrong_code(member.secret, clock()))
    clock.advance(20)
    blocked = await api.challenge()
    assert (blocked["factors"], blocked["otpRetryAfter"]) == (["RECOVERY_CODE"], 40)
    clock.advance(40)
    again = await api.challenge()
    assert (again["factors"], again["otpRetryAfter"]) == (["TOTP", "RECOVERY_CODE"], None)


# The second case is how it comes about with the default settings, where the last wrong code makes a wait as well.
@pytest.mark.parametrize("failures_before_disabling", [1, 5])
async def test_the_challenge_gives_no_wait_for_disabled_one_time_codes(
    run_app: RunApp, connect: Connect, clock: Clock, failures_before_disabling: int
) -> None:
    async with run_app(otp_failures_before_disabling=failures_before_disabling) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(failures_before_disabling):
            await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        challenge = await api.challenge()
    assert (challenge["factors"], challenge["otpRetryAfter"]) == (["RECOVERY_CODE"], None)


async def test_the_challenge_offers_recovery_codes_only_if_some_are_left(api: Api) -> None:
    member = await api.member()
    for code in member.recovery_codes:
        await api.verify_recovery_code(await api.challenge(), code)
    assert (await api.challenge())["factors"] == ["TOTP"]


async def test_a_name_is_found_whatever_its_case_width_or_composition(api: Api) -> None:
    await api.register("José")
    for name in ("josé", "JOSE\u0301", "Ｊｏｓé"):
        assert (await api.login(name))["__typename"] == "OtpRequired"


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(api: Api) -> None:
    await api.member()
    assert await api.login(password=PASSWORD.upper()) == INVALID_CREDENTIALS
    assert await api.login("nobody") == INVALID_CREDENTIALS
    assert await api.login("", "") == INVALID_CREDENTIALS


async def test_from_the_tenth_wrong_password_on_each_doubles_the_wait(api: Api, clock: Clock) -> None:
    await api.register()
    for _ in range(10):
        assert await api.login(password="wrong") == INVALID_CREDENTIALS
    for wait in (1, 2, 4):
        limited = rate_limited(wait)
        assert await api.login() == limited
        assert await api.login() == limited, "what was refused is not counted"
        clock.advance(wait)
        assert await api.login(password="wrong") == INVALID_CREDENTIALS
    clock.advance(8)
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_a_wait_of_one_second_is_in_the_singular(api: Api) -> None:
    await api.register()
    for _ in range(10):
        await api.login(password="wrong")
    assert (await api.login())["message"] == "Too many attempts. Try again in 1 second."


async def test_an_existing_password_above_the_maximum_length_still_works(run_app: RunApp, connect: Connect) -> None:
    """Whether it was imported, or chosen before the setting was lowered."""
    long = "four otters row upstream " * 7 + "today"
    assert len(long) == 180
    async with run_app(password_max_length=180) as app:
        await connect(app).register(password=long)
    async with run_app(password_max_length=128) as app:
        api = connect(app)
        assert (await api.login(password=long))["__typename"] == "OtpRequired"
        assert await api.login(password=long[:128]) == INVALID_CREDENTIALS
        refused = await api.register("bob", long)
        assert [field["code"] for field in refused["fields"]] == ["TOO_LONG"]


async def test_an_eleventh_challenge_ends_the_oldest(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenges = []
    for _ in range(11):
        challenges.append(await api.challenge())
        clock.advance(1)
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(challenges[0], code))["__typename"] == "ChallengeExpired"
    assert (await api.verify_otp(challenges[1], code))["__typename"] == "SignedIn"


async def test_a_login_rehashes_the_password_when_the_cost_was_changed(run_app: RunApp, connect: Connect) -> None:
    async with run_app(bcrypt_rounds=4) as app:
        await connect(app).register()
    async with run_app(bcrypt_rounds=5) as app:
        api, database = connect(app), app.state.services.database
        before = await database.read(rows.password_hash_of)
        assert await api.login(password="wrong") == INVALID_CREDENTIALS
        assert await database.read(rows.password_hash_of) == before
        assert (await api.login())["__typename"] == "OtpRequired"
        after = await database.read(rows.password_hash_of)
        assert (await api.login())["__typename"] == "OtpRequired"
        assert await database.read(rows.password_hash_of) == after
    assert before.startswith("$bcrypt-sha256$v=2,t=2b,r=4$")
    assert after.startswith("$bcrypt-sha256$v=2,t=2b,r=5$")


async def test_an_imported_bcrypt_hash_is_accepted_and_replaced(api: Api, services: Services) -> None:
    imported = "correct horse"
    plain = bcrypt.hashpw(imported.encode(), bcrypt.gensalt(4)).decode()
    await import_user(services, imported, password_hash=plain)
    assert await api.login(password=imported + "x") == INVALID_CREDENTIALS
    assert (await api.login(password=imported))["__typename"] == "OtpRequired"
    replaced = await services.database.read(rows.password_hash_of)
    assert replaced.startswith("$bcrypt-sha256$")
    assert (await api.login(password=imported))["__typename"] == "OtpRequired"
    assert await api.login(password=imported + "x") == INVALID_CREDENTIALS, "the whole password counts now"

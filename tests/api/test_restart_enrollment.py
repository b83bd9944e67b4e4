"""restartEnrollment."""

import pytest

from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.services import Services
from tests.api.answers import CHALLENGE_EXPIRED, failure, rate_limited
from tests.api.scenarios import NO_CHALLENGE, import_user
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock

ENROLLMENT_CODE_REQUIRED = failure("EnrollmentCodeRequired")
CODE = "FJ4K-99QP-TX2M-W7RD-1BVC-60HN"


async def challenge_of_imported(api: Api, services: Services) -> Result:
    """A challenge of an account that an operator imported, and gave an enrollment code."""
    await import_user(services, "imported", enrollment_code_digest=enrollment_code_digest(CODE))
    return await api.challenge(password="imported")


async def test_a_restarted_enrollment_has_a_new_secret_and_a_new_challenge(api: Api, clock: Clock) -> None:
    registered = await api.register()
    clock.advance(5)
    restarted = await api.restart_enrollment(registered["challenge"])
    enrollment, challenge = restarted["enrollment"], restarted["challenge"]
    assert restarted == {
        "__typename": "EnrollmentRestarted",
        "enrollment": {
            "secret": enrollment["secret"],
            "otpauthUri": registered["enrollment"]["otpauthUri"].replace(
                registered["enrollment"]["secret"], enrollment["secret"]
            ),
        },
        "challenge": registered["challenge"] | {"token": challenge["token"], "expiresAt": "2026-01-01T00:05:15+00:00"},
    }
    confirmed = await api.verify_otp(challenge, code_at(enrollment["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_the_old_secret_and_every_older_challenge_stop_working(api: Api, clock: Clock) -> None:
    registered = await api.register()
    other = await api.challenge()
    restarted = await api.restart_enrollment(registered["challenge"])
    old_code, new_code = (code_at(each["enrollment"]["secret"], clock()) for each in (registered, restarted))
    for challenge in (registered["challenge"], other):
        assert await api.verify_otp(challenge, new_code) == CHALLENGE_EXPIRED
    assert (await api.verify_otp(restarted["challenge"], old_code))["__typename"] == "InvalidOtp"
    assert (await api.verify_otp(restarted["challenge"], new_code))["__typename"] == "EnrollmentConfirmed"


async def test_an_imported_account_is_enrolled_with_the_operators_code(
    api: Api, services: Services, clock: Clock
) -> None:
    challenge = await challenge_of_imported(api, services)
    restarted = await api.restart_enrollment(challenge, CODE)
    assert restarted["__typename"] == "EnrollmentRestarted"
    confirmed = await api.verify_otp(restarted["challenge"], code_at(restarted["enrollment"]["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_the_operators_code_works_again_after_a_reload(api: Api, services: Services, clock: Clock) -> None:
    lost = await api.restart_enrollment(await challenge_of_imported(api, services), CODE)
    challenge = await api.challenge(password="imported")
    assert await api.restart_enrollment(challenge, CODE[::-1]) == ENROLLMENT_CODE_REQUIRED
    restarted = await api.restart_enrollment(challenge, CODE)
    assert restarted["__typename"] == "EnrollmentRestarted"
    for enrollment, outcome in ((lost, "InvalidOtp"), (restarted, "EnrollmentConfirmed")):
        code = code_at(enrollment["enrollment"]["secret"], clock())
        assert (await api.verify_otp(restarted["challenge"], code))["__typename"] == outcome


@pytest.mark.parametrize(
    "typed", [CODE.lower(), CODE.replace("-", " "), CODE.replace("-", ""), CODE.replace("1", "l").replace("0", "O")]
)
async def test_different_spellings_of_the_operators_code_are_accepted(api: Api, services: Services, typed: str) -> None:
    restarted = await api.restart_enrollment(await challenge_of_imported(api, services), typed)
    assert restarted["__typename"] == "EnrollmentRestarted"


async def test_a_missing_and_a_wrong_enrollment_code_are_refused_and_counted(api: Api, services: Services) -> None:
    challenge = await challenge_of_imported(api, services)
    for code in (None, "", "wrong", CODE[::-1], "x" * 1000):
        assert await api.restart_enrollment(challenge, code) == ENROLLMENT_CODE_REQUIRED
    assert await api.restart_enrollment(challenge, CODE) == CHALLENGE_EXPIRED


async def test_a_password_alone_never_enrolls_a_device_for_an_imported_account(api: Api, services: Services) -> None:
    challenge = await challenge_of_imported(api, services)
    restarted = await api.restart_enrollment(challenge, CODE)
    assert restarted["__typename"] == "EnrollmentRestarted"
    # Its owner was interrupted here. Somebody else knows the password.
    assert await api.restart_enrollment(await api.challenge(password="imported")) == ENROLLMENT_CODE_REQUIRED


async def test_a_confirmed_enrollment_can_not_be_restarted(api: Api) -> None:
    await api.member()
    assert await api.restart_enrollment(await api.challenge()) == failure("AlreadyEnrolled")


async def test_an_expired_or_unknown_challenge_restarts_nothing(api: Api, clock: Clock) -> None:
    registered = await api.register()
    clock.advance(300)
    for challenge in (registered["challenge"], NO_CHALLENGE):
        assert await api.restart_enrollment(challenge) == CHALLENGE_EXPIRED


async def test_an_account_can_restart_ten_times_an_hour(api: Api, clock: Clock) -> None:
    challenge = (await api.register())["challenge"]
    for _ in range(10):
        challenge = (await api.restart_enrollment(challenge))["challenge"]
    clock.advance(100)
    assert await api.restart_enrollment(challenge) == rate_limited(3500)
    clock.advance(3500)
    assert (await api.restart_enrollment(await api.challenge()))["__typename"] == "EnrollmentRestarted"

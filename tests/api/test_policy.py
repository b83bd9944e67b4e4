"""policy."""

from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.conftest import Connect

POLICY = """{ policy {
  issuer registrationOpen usernameMinLength usernameMaxLength passwordMinLength passwordMaxLength otpDigits otpPeriod
  recoveryCodeCount factors
} }"""


async def test_the_policy_is_public(api: Api) -> None:
    assert await api.run(POLICY) == {
        "issuer": "GraphQL MFA",
        "registrationOpen": True,
        "usernameMinLength": 3,
        "usernameMaxLength": 64,
        "passwordMinLength": 8,
        "passwordMaxLength": 128,
        "otpDigits": 6,
        "otpPeriod": 30,
        "recoveryCodeCount": 10,
        "factors": ["TOTP", "RECOVERY_CODE"],
    }


async def test_the_policy_shows_the_settings(run_app: RunApp, connect: Connect) -> None:
    settings = {
        "issuer": "Example Ltd",
        "registration_open": False,
        "username_min_length": 2,
        "username_max_length": 20,
        "password_min_length": 12,
        "password_max_length": 100,
        "otp_digits": 8,
        "otp_period_seconds": 60,
    }
    async with run_app(**settings) as app:
        policy = await connect(app).run(POLICY)
    assert list(policy.values())[:-2] == list(settings.values())

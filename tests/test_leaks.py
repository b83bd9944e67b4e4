"""That a secret in the log would be found: without this the check of every test could be blind."""

import json
import logging
from collections.abc import Callable

import pytest

from tests import leaks
from tests.api_client import Api

SECRET = 'zebra-"quartz"-harmonica-ü'  # not collected, so that the check after this test passes
CODE = "918273"

log = logging.getLogger("anybody")


def test_secrets_are_recognised_by_field_name_at_any_depth() -> None:
    answer = {
        "data": {
            "registerUser": {
                "message": "a message, long enough",
                "enrollment": {"secret": "ABCDEFGHIJKLMNOP", "otpauthUri": "otpauth://totp/x?secret=A"},
                "challenge": {"token": "mfac_0123456789", "factors": ["TOTP"]},
                "recoveryCodes": ["0000-1111-2222", "3333-4444-5555"],
            }
        }
    }
    credential = {"id": "of the credential", "response": {"signature": "a signature", "userHandle": "a user handle"}}
    passkey = {"ceremonyToken": "mfap_0123456789", "credential": credential}
    variables = {"input": {"username": "a long user name", "password": "short", "otp": "123456", "passkey": passkey}}

    assert list(leaks.secrets_in([answer, variables, None, {"token": None}])) == [
        *("ABCDEFGHIJKLMNOP", "otpauth://totp/x?secret=A", "mfac_0123456789", "0000-1111-2222", "3333-4444-5555"),
        *("123456", "mfap_0123456789", "a user handle"),
    ]


async def test_secrets_of_requests_and_responses_are_collected(api: Api) -> None:
    before = len(leaks.remembered)
    member = await api.member(password=(password := "a password of this test"))
    await api.me(member.access_token)

    assert {password, member.secret, *member.recovery_codes, member.access_token, member.refresh_token} <= set(
        leaks.remembered[before:]
    )


def _fail(text: str) -> None:
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("it failed")


WAYS: dict[str, Callable[[str], None]] = {
    "message": lambda secret: log.warning("it is %s" % secret),  # noqa: G002, UP031
    "argument": lambda secret: log.warning("it is %s", secret),
    "argument of a level that nobody shows": lambda secret: log.debug("it is %(it)s", {"it": secret}),
    "inside of a value": lambda secret: log.info("it is %s", {"input": [secret]}),
    "exception": _fail,
    "added": lambda secret: log.info("it", extra={"it": secret}),
    "added within a value": lambda secret: log.info("it", extra={"it": {"is": [secret]}}),
    "JSON": lambda secret: log.info(json.dumps({"it": secret})),
    "another logger": lambda secret: logging.getLogger("graphql_mfa.requests").info(secret),
    "root": lambda secret: logging.getLogger().debug(secret),
}


@pytest.mark.parametrize("secret", [SECRET, CODE])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_secret_that_is_logged_is_found(way: Callable[[str], None], secret: str) -> None:
    with leaks.everything_logged() as logged:
        way(secret)

    with pytest.raises(AssertionError):
        leaks.assert_none(logged, ["another secret", secret])


def test_a_secret_is_found_in_records_that_no_handler_prints() -> None:
    silent = logging.getLogger("silent")
    silent.propagate = False
    with leaks.everything_logged() as logged:
        silent.debug(SECRET)

    with pytest.raises(AssertionError):
        leaks.assert_none(logged, [SECRET])


def test_other_values_may_be_logged() -> None:
    with leaks.everything_logged() as logged:
        log.info("it took 1%s.5 ms, 0.%s s, x%s, %s0", CODE, CODE, CODE, CODE)

    leaks.assert_none(logged, [SECRET, CODE])
    assert len(logged) == 1


def test_pytest_output_is_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    log.info("not shown")
    log.warning("shown")

    assert caplog.messages == ["shown"]

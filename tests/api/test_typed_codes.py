"""Codes as people type and paste them, wherever one is asked for."""

from collections.abc import Callable

import pytest

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from tests import devices
from tests.account import act
from tests.api.scenarios import NEW_PASSWORD
from tests.api_client import Api
from tests.authenticator import code_at

ARABIC = {ord("0") + digit: 0x0660 + digit for digit in range(10)}
FULL_WIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}

Spelling = Callable[[str], str]


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(lambda code: f"{code[:3]}-{code[3:]}", id="a hyphen"),
        pytest.param(lambda code: f"\u202a\u200e{code[:3]}\u200b{code[3:]}\u202c\ufeff", id="invisible characters"),
        pytest.param(lambda code: f"\u201c{code}.\u201d\n", id="quotes and a full stop"),
        pytest.param(lambda code: code.translate(FULL_WIDTH), id="full-width digits"),
        pytest.param(lambda code: code.translate(ARABIC), id="Arabic-Indic digits"),
    ],
)
async def test_a_right_code_is_accepted_in_any_spelling(api: Api, services: Services, spelled: Spelling) -> None:
    member = await api.member()
    token, recovery_codes = member.access_token, list(map(spelled, member.recovery_codes))

    def otp() -> str:
        api.clock.advance(30)
        return spelled(code_at(member.secret, api.clock()))

    answers = [
        await api.verify_otp(await api.challenge(), otp()),
        await api.verify_recovery_code(await api.challenge(), recovery_codes[0]),
        await act(api, "reauthenticate", token, input={"otp": otp()}),
        await act(api, "reauthenticate", token, input={"recoveryCode": recovery_codes[1]}),
    ]
    tablet = await devices.added(api, token)
    answers += [await devices.confirm(api, token, tablet.id, spelled(code_at(tablet.secret, api.clock())))]
    reset = {"username": "alice", "otp": otp(), "recoveryCode": recovery_codes[2], "newPassword": NEW_PASSWORD}
    answers += [await act(api, "resetPassword", input=reset)]
    enrollment_code = await operators.reset_mfa(services, "alice")
    assert isinstance(enrollment_code, str)
    challenge = await api.challenge(password=NEW_PASSWORD)
    answers += [await api.restart_enrollment(challenge, spelled(enrollment_code))]

    assert [answer["__typename"] for answer in answers] == [
        *("SignedIn", "SignedIn", "Reauthenticated", "Reauthenticated"),
        *("TotpDeviceConfirmed", "PasswordChanged", "EnrollmentRestarted"),
    ]

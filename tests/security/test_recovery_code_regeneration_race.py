"""Race: regenerate recovery codes in parallel, so that several sets work afterwards, or none."""

from dataclasses import replace

from tests.account import act, user_of
from tests.api.scenarios import reauthenticate
from tests.api_client import Api, Member, Result
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds, real_member

pytestmark = on_each_engine

PARALLEL = 8  # fewer than the wrong recovery codes that an address may try


async def assert_one_set(api: Api, member: Member, made: list[Result]) -> None:
    """Every caller got a set of ten; all of one set works, and nothing of any other."""
    assert kinds(made) == {"RecoveryCodes": len(made)}
    sets = [member.recovery_codes, *(answer["recoveryCodes"] for answer in made)]
    assert len({code for codes in sets for code in codes}) == 10 * len(sets)

    firsts = [await reauthenticate(api, member.access_token, recoveryCode=codes[0]) for codes in sets]
    assert kinds(firsts) == {"Reauthenticated": 1, "InvalidRecoveryCode": len(made)}
    (kept,) = (codes for codes, first in zip(sets, firsts, strict=True) if first["__typename"] == "Reauthenticated")
    others = [await reauthenticate(api, member.access_token, recoveryCode=code) for code in kept[1:]]
    assert kinds(others) == {"Reauthenticated": 9}
    assert (await user_of(api, member.access_token))["recoveryCodesLeft"] == 0


async def test_recovery_codes_regenerated_in_parallel(api: Api) -> None:
    member = await api.member()
    made = await at_once(act(api, "regenerateRecoveryCodes", member.access_token) for _ in range(PARALLEL))
    await assert_one_set(api, member, made)


async def test_recovery_codes_regenerated_in_parallel_by_two_sessions(api: Api) -> None:
    member = await api.member()
    other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[9])
    tokens = [member.access_token, other["tokens"]["accessToken"]] * (PARALLEL // 2)
    answers = await at_once(act(api, "regenerateRecoveryCodes", token) for token in tokens)
    # The session that comes first ends the freshness of the other one.
    assert kinds(answers) == {"RecoveryCodes": PARALLEL // 2, "ReauthenticationRequired": PARALLEL // 2}
    made = [answer for answer in answers if answer["__typename"] == "RecoveryCodes"]
    winner = next(token for token, answer in zip(tokens, answers, strict=True) if answer in made)
    await assert_one_set(api, replace(member, session={"tokens": {"accessToken": winner}}), made)


async def test_recovery_codes_regenerated_in_parallel_at_two_processes(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)
    made = await at_once(
        act(api, "regenerateRecoveryCodes", member.access_token) for api in processes * (PARALLEL // 2)
    )
    await assert_one_set(processes[1], member, made)


async def test_recovery_code_used_while_the_set_is_replaced(api: Api) -> None:
    """Before or after, but the new set is whole."""
    member = await api.member()
    challenge = await api.challenge()
    signed_in, made = await at_once(
        [
            api.verify_recovery_code(challenge, member.recovery_codes[0]),
            act(api, "regenerateRecoveryCodes", member.access_token),
        ]
    )
    assert signed_in["__typename"] in {"SignedIn", "InvalidRecoveryCode"}
    assert made["__typename"] == "RecoveryCodes"
    assert (await user_of(api, member.access_token))["recoveryCodesLeft"] == 10

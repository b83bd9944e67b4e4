"""A session that verified its second factor too long ago does nothing that is sensitive.

Which mutations are is read from the schema, so that a new one can't be forgotten: it is either here or sensitive.
"""

import pytest
from graphql import GraphQLInputObjectType, GraphQLInputType, get_named_type, is_required_input_field

from graphql_mfa.services import Services
from tests.account import act, members_of, mutations, user_of
from tests.api_client import Api
from tests.authenticator import code_at
from tests.security.attacks import scalar

NOT_SENSITIVE = {
    "registerUser",
    "login",
    "verifyOtp",
    "verifyRecoveryCode",
    "restartEnrollment",
    "refreshSession",
    "logout",
    "reauthenticate",
    "confirmTotpDevice",
    "renameTotpDevice",
    "resetPassword",
    "revokeSession",
    "beginPasskeyLogin",
    "finishPasskeyLogin",
    "beginPasskeyReauthentication",
    "finishPasskeyRegistration",
    "renamePasskey",
}
SENSITIVE = sorted(name for name in mutations() if "ReauthenticationRequired" in members_of(name))
FRESH_SECONDS = 300


def some_value(type_: GraphQLInputType, name: str) -> object:
    """Something that the argument takes, and that names no account beside the session's."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return {
            name: some_value(field.type, name)
            for name, field in named.fields.items()
            if is_required_input_field(field) or "assword" in name
        }
    return "another correct horse battery" if "assword" in name else "00000000-0000-4000-8000-000000000000"


def some_arguments(mutation: str) -> dict[str, object]:
    return {name: some_value(argument.type, name) for name, argument in mutations()[mutation].args.items()}


def test_every_mutation_is_classified_as_sensitive_or_not() -> None:
    assert sorted(mutations()) == sorted([*SENSITIVE, *NOT_SENSITIVE])


async def test_a_stale_session_must_verify_a_second_factor_again(
    api: Api, services: Services, subtests: pytest.Subtests
) -> None:
    member = await api.member()
    # The clock of a member stands half a minute after its sign-in.
    api.clock.advance(FRESH_SECONDS - 30)
    before = await user_of(api, member.access_token)
    api.clock.advance(1)

    for mutation in SENSITIVE:
        with subtests.test(mutation=mutation):
            refused = await act(api, mutation, member.access_token, **some_arguments(mutation))
            assert refused["__typename"] == "ReauthenticationRequired"
            assert refused["factors"] == ["TOTP", "RECOVERY_CODE"]
            assert await user_of(api, member.access_token) == before
            # The registration alone.
            assert await scalar(services, "SELECT sum(attempts) FROM mfa_throttles") == 1


@pytest.mark.parametrize("mutation", SENSITIVE)
async def test_a_fresh_session_may_run_sensitive_mutations(api: Api, mutation: str) -> None:
    member = await api.member()
    api.clock.advance(FRESH_SECONDS - 30)
    allowed = await act(api, mutation, member.access_token, **some_arguments(mutation))
    assert allowed["__typename"] != "ReauthenticationRequired"


@pytest.mark.parametrize("mutation", SENSITIVE)
async def test_a_session_is_fresh_again_after_a_second_factor(api: Api, mutation: str) -> None:
    member = await api.member()
    api.clock.advance(FRESH_SECONDS)
    renewed = await act(api, "reauthenticate", member.access_token, input={"otp": code_at(member.secret, api.clock())})
    allowed = await act(api, mutation, renewed["accessToken"], **some_arguments(mutation))
    assert allowed["__typename"] != "ReauthenticationRequired"


async def test_a_refreshed_session_is_as_stale_as_before(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()
    api.clock.advance(FRESH_SECONDS)
    refreshed = await api.refresh(member.refresh_token)

    for mutation in SENSITIVE:
        with subtests.test(mutation=mutation):
            refused = await act(api, mutation, refreshed["tokens"]["accessToken"], **some_arguments(mutation))
            assert refused["__typename"] == "ReauthenticationRequired"


async def test_sensitive_mutations_without_a_live_session_do_nothing(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()
    await api.logout(member.access_token)
    for mutation in SENSITIVE:
        with subtests.test(mutation=mutation):
            nobody = await act(api, mutation, None, **some_arguments(mutation))
            assert (nobody["__typename"], nobody["reason"]) == ("NotAuthenticated", "TOKEN_MISSING")
            ended = await act(api, mutation, member.access_token, **some_arguments(mutation))
            assert (ended["__typename"], ended["reason"]) == ("NotAuthenticated", "SESSION_ENDED")

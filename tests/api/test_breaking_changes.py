"""The schema keeps the promise of the changelog: between major versions, no change that breaks a client."""

from pathlib import Path

import pytest
from graphql import BreakingChangeType, DangerousChangeType, build_schema
from graphql.utilities.find_schema_changes import find_schema_changes

RELEASED = Path(__file__).with_name("released.graphql").read_text()
CURRENT = (Path(__file__).parents[2] / "schema.graphql").read_text()

# Minor changes according to CHANGELOG.md, although a client without a default branch would notice.
ANNOUNCED = {
    DangerousChangeType.TYPE_ADDED_TO_UNION,
    DangerousChangeType.VALUE_ADDED_TO_ENUM,
    DangerousChangeType.OPTIONAL_INPUT_FIELD_ADDED,
    DangerousChangeType.OPTIONAL_ARG_ADDED,
}


def broken_promises(old: str, new: str) -> list[str]:
    """Breaking and dangerous changes; graphql-core 3.3 merged the two functions."""
    return [
        f"{change.type.name}: {change.description}"
        for change in find_schema_changes(build_schema(old), build_schema(new))
        if isinstance(change.type, BreakingChangeType | DangerousChangeType) and change.type not in ANNOUNCED
    ]


def test_clients_of_the_last_release_still_work() -> None:
    assert broken_promises(RELEASED, CURRENT) == []


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("  recoveryCodesLeft: Int!", "  codesLeft: Int!", "FIELD_REMOVED"),
        ("  recoveryCodesLeft: Int!", "  recoveryCodesLeft: Int", "FIELD_CHANGED_KIND"),
        ("  recoveryCodesLeft: Int!", "  recoveryCodesLeft: String!", "FIELD_CHANGED_KIND"),
        ("  otpRetryAfter: Int", "  otpRetryAfter(unit: String!): Int", "REQUIRED_ARG_ADDED"),
        ("    refreshToken: String\n", "    token: String\n", "ARG_REMOVED"),
        ("    refreshToken: String\n", "    refreshToken: String!\n", "ARG_CHANGED_KIND"),
        ("everywhere: Boolean! = false", "everywhere: Boolean! = true", "ARG_DEFAULT_VALUE_CHANGE"),
        ("input LoginInput {", "input LoginInput {\n  captcha: String!", "REQUIRED_INPUT_FIELD_ADDED"),
        ("  currentPassword: String\n", "  currentPassword: String!\n", "FIELD_CHANGED_KIND"),
        ("OtpRequired | InvalidCredentials", "OtpRequired", "TYPE_REMOVED_FROM_UNION"),
        ("  TOO_COMMON\n", "  TOO_WEAK\n", "VALUE_REMOVED_FROM_ENUM"),
        ("type RateLimited implements UserError", "type RateLimited", "IMPLEMENTED_INTERFACE_REMOVED"),
    ],
)
def test_a_change_that_breaks_clients_is_reported(before: str, after: str, kind: str) -> None:
    assert [promise.partition(":")[0] for promise in broken_promises(CURRENT, _changed(before, after))] == [kind]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("OtpRequired | InvalidCredentials", "OtpRequired | InvalidCredentials | ChallengeExpired"),
        ("  TOO_COMMON\n", "  TOO_COMMON\n  LEAKED\n"),
        ("input LoginInput {", "input LoginInput {\n  captcha: String"),
        ("    refreshToken: String\n", "    refreshToken: String\n    reason: String\n"),
        ("  recoveryCodesLeft: Int!", "  recoveryCodesLeft: Int!\n  email: String"),
        ('"""Unused recovery codes."""', '"""Recovery codes that are left."""'),
    ],
)
def test_a_change_that_the_changelog_allows_is_not_reported(before: str, after: str) -> None:
    assert broken_promises(CURRENT, _changed(before, after)) == []


def _changed(before: str, after: str) -> str:
    assert CURRENT.count(before) == 1
    return CURRENT.replace(before, after)

import base64

import pytest
from hypothesis import given

from graphql_mfa.core.tokens import (
    CHALLENGE_PREFIX,
    REFRESH_TOKEN_PREFIX,
    Purpose,
    digest,
    new_token,
    token_digest,
)
from tests.core.texts import any_text

TOKEN = "mfac_" + "A" * 43


@pytest.mark.parametrize("prefix", [CHALLENGE_PREFIX, REFRESH_TOKEN_PREFIX])
def test_a_token_is_256_bits_after_a_prefix_for_secret_scanners(prefix: str) -> None:
    tokens = {new_token(prefix) for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert token.startswith(prefix)
        assert len(base64.urlsafe_b64decode(token.removeprefix(prefix) + "=")) == 32
        assert token_digest(Purpose.CHALLENGE, token) == digest(Purpose.CHALLENGE, token)


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        (Purpose.CHALLENGE, "3b00c8a023684fd3c2a3f0494c855809cc08228d543179e440f895d5ed9f52ba"),
        (Purpose.REFRESH_TOKEN, "95663bf9ee8ee34964bbd0447a02327529a66e92fb1848e19401369564146738"),
        (Purpose.RECOVERY_CODE, "add729cf6f901644fc04ffb674cb47dbb8af3c25b45002ba2dd2a702eda3ee00"),
        (Purpose.ENROLLMENT_CODE, "1ea5949aa535ed9f41ae8f87d269b34662f76ad3b437d65bc5dcae299bce0b46"),
    ],
)
def test_digests_are_compatible_with_earlier_versions(purpose: Purpose, expected: str) -> None:
    assert digest(purpose, TOKEN).hex() == expected


@given(any_text, any_text)
def test_a_secret_of_one_purpose_is_not_accepted_for_another(one: str, other: str) -> None:
    secrets = {one, other}
    assert len({digest(purpose, secret) for purpose in Purpose for secret in secrets}) == len(Purpose) * len(secrets)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("mfac_", id="prefix"),
        pytest.param(TOKEN[:-1], id="a character short"),
        pytest.param(f"{TOKEN}A", id="a character too many"),
        pytest.param(f"{TOKEN}\n", id="line feed"),
        pytest.param(f" {TOKEN}", id="space"),
        pytest.param(TOKEN.removeprefix("mfac_"), id="no prefix"),
        pytest.param(TOKEN.upper(), id="capital prefix"),
        pytest.param(f"mfak_{'A' * 48}", id="a key"),
        pytest.param(f"{TOKEN[:-1]}=", id="padding"),
        pytest.param(f"{TOKEN[:-1]}+", id="the other base64"),
        pytest.param(f"{TOKEN[:-1]}\uff21", id="full-width letter"),
        pytest.param(f"{TOKEN[:-1]}\ud800", id="surrogate"),
        pytest.param(f"{TOKEN[:-1]}\0", id="NUL"),
        pytest.param(TOKEN * 1000, id="long"),
    ],
)
def test_malformed_tokens_are_not_looked_up(text: str) -> None:
    assert token_digest(Purpose.CHALLENGE, text) is None

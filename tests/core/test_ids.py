from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.inputs import parse_id, parse_id_or_nil
from tests.core.texts import any_text

NOTHING = UUID(int=0)


@given(st.uuids())
def test_an_id_is_parsed_in_its_canonical_form(given: UUID) -> None:
    assert parse_id(str(given)) == parse_id_or_nil(str(given)) == given


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", "1", "nonsense", "\0", "\ud800", "\ud800" * 32),
        "0B4E4F0C-9B5C-4B0E-8D2A-3A1F1C7E5D11",
        "{0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d11}",
        "urn:uuid:0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d11",
        "0b4e4f0c9b5c4b0e8d2a3a1f1c7e5d11",
        " 0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d11",
        "0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d11\n",
        "0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d1",
        "0b4e4f0c-9b5c-4b0e-8d2a-3a1f1c7e5d1\u0661",
    ],
)
def test_other_spellings_of_an_id_become_the_nil_uuid(raw: str) -> None:
    assert parse_id(raw) is None
    assert parse_id_or_nil(raw) == NOTHING


@given(any_text)
def test_parsing_an_id_never_raises(raw: str) -> None:
    assert parse_id_or_nil(raw) == NOTHING or str(parse_id_or_nil(raw)) == raw

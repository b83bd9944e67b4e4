import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.keys import Key, KeyRing, SealBrokenError, seal, sealed_by, unseal

KEY, OTHER_KEY = Key(bytes(range(32))), Key(b"other key".ljust(32))
RING = KeyRing([KEY])
ROW = "totp_devices.secret:1"
SECRET = b"JBSWY3DPEHPK3PXP"

rows = st.text(min_size=1)


def broken(ring: KeyRing, row: str, blob: bytes) -> bool:
    try:
        unseal(ring, row, blob)
    except SealBrokenError:
        return True
    return False


@given(rows, st.binary())
def test_a_sealed_secret_can_be_opened(row: str, secret: bytes) -> None:
    assert unseal(RING, row, seal(RING, row, secret)) == secret


@given(rows, rows, st.binary())
def test_a_blob_opens_in_its_own_row_only(row: str, other: str, secret: bytes) -> None:
    assert broken(RING, other, seal(RING, row, secret)) is (row != other)


@pytest.mark.parametrize(
    "other", ["totp_devices.secret:2", "totp_devices.secret:11", "users.secret:1", "totp_devices.name:1", ""]
)
def test_a_blob_moved_to_another_row_table_or_column_is_broken(other: str) -> None:
    with pytest.raises(SealBrokenError):
        unseal(RING, other, seal(RING, ROW, SECRET))


def test_a_blob_with_any_bit_flipped_is_broken() -> None:
    blob = seal(RING, ROW, SECRET)
    whole = int.from_bytes(blob, "big")
    intact = [
        bit for bit in range(8 * len(blob)) if not broken(RING, ROW, (whole ^ 1 << bit).to_bytes(len(blob), "big"))
    ]
    assert intact == []


def test_a_blob_cut_anywhere_is_broken() -> None:
    blob = seal(RING, ROW, SECRET)
    assert [length for length in range(len(blob)) if not broken(RING, ROW, blob[:length])] == []


def test_a_blob_with_something_appended_is_broken() -> None:
    with pytest.raises(SealBrokenError):
        unseal(RING, ROW, seal(RING, ROW, SECRET) + b"\0")


def test_a_missing_key_is_named_in_the_error() -> None:
    with pytest.raises(SealBrokenError, match=KEY.id.hex()):
        unseal(KeyRing([OTHER_KEY]), ROW, seal(RING, ROW, SECRET))


@pytest.mark.parametrize("decrypt_only", [False, True])
def test_a_rotated_ring_opens_old_blobs_and_seals_with_the_new_key(decrypt_only: bool) -> None:
    old = seal(RING, ROW, SECRET)
    rotated = KeyRing([OTHER_KEY, Key(KEY.material, decrypt_only)])
    assert unseal(rotated, ROW, old) == SECRET
    assert unseal(KeyRing([OTHER_KEY]), ROW, seal(rotated, ROW, SECRET)) == SECRET


def test_a_blob_names_the_key_that_sealed_it_and_opens_with_no_other_of_the_ring() -> None:
    blob = seal(RING, ROW, SECRET)
    assert sealed_by(blob) == KEY.id
    with pytest.raises(SealBrokenError):
        unseal(KeyRing([KEY, OTHER_KEY]), ROW, OTHER_KEY.id + blob[4:])


def test_a_blob_reveals_nothing_of_the_secret_and_never_repeats() -> None:
    blobs = {seal(RING, ROW, SECRET) for _ in range(100)}
    assert len({blob[4:16] for blob in blobs}) == 100  # nonces
    assert not any(SECRET[start : start + 4] in blob for blob in blobs for start in range(0, len(SECRET), 4))


def test_a_blob_of_an_earlier_version_opens() -> None:
    blob = "1d3a94c1bf3bdf620e4cefe7bf3d20d72d55d35b02c912eb6c1413e2b9c1ada1359aec406e3a1d4d3d971d61cccee9e8"
    assert unseal(RING, ROW, bytes.fromhex(blob)) == SECRET

import string

from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.keys import Key
from graphql_mfa.core.tokens import Purpose, family_digest, first_refresh_token, next_refresh_token, token_digest

KEY = Key(bytes(range(32)))
keys = st.binary(min_size=32, max_size=32).map(Key)
tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=43, max_size=43).map("mfar_{}".format)


def test_the_first_token_is_random() -> None:
    drawn = {first_refresh_token() for _ in range(100)}
    assert len(drawn) == 100
    assert all(token_digest(Purpose.REFRESH_TOKEN, token) for token in drawn)


@given(keys, tokens)
def test_deriving_the_next_token_is_deterministic_and_well_formed(key: Key, previous: str) -> None:
    following = next_refresh_token(key, previous)
    assert next_refresh_token(Key(key.material, decrypt_only=True), previous) == following
    assert following.startswith("mfar_")
    assert token_digest(Purpose.REFRESH_TOKEN, following) is not None
    assert following != previous


@given(st.sets(keys, min_size=2, max_size=2), st.sets(tokens, min_size=2, max_size=2))
def test_another_key_or_predecessor_derives_another_token(some_keys: set[Key], some_tokens: set[str]) -> None:
    assert len({next_refresh_token(key, previous) for key in some_keys for previous in some_tokens}) == 4


def test_a_chain_of_tokens_does_not_repeat() -> None:
    chain = [first_refresh_token()]
    for _ in range(100):
        chain.append(next_refresh_token(KEY, chain[-1]))
    assert len(set(chain)) == 101


def test_a_chain_of_tokens_keeps_its_family_and_chains_differ() -> None:
    chain = [first_refresh_token()]
    for _ in range(100):
        chain.append(next_refresh_token(KEY, chain[-1]))
    assert len({family_digest(token) for token in chain}) == 1
    assert family_digest(first_refresh_token()) != family_digest(chain[0])


def test_every_release_derives_the_same_token() -> None:
    assert next_refresh_token(KEY, "mfar_" + "A" * 43) == "mfar_AAAAAAAAAAAAAAAAAAAAAG9lc1jJx6spbh_ZV7s0Yuc"

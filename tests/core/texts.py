"""Texts as a client can send them."""

from hypothesis import strategies as st

# JSON can carry lone surrogates, and hypothesis's own `text()` leaves them out; the others grow, shrink or hide.
_AWKWARD = ["\ud800", "\udfff", "\0", "\u200b", "\u3000", "\u0345", "\ufdfa", "\u0130", "\uff11"]
any_text = st.text(st.characters() | st.sampled_from(_AWKWARD))

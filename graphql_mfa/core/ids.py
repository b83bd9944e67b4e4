"""Ids as clients send them back."""

from uuid import UUID

_OF_NOTHING = UUID(int=0)


def parse_id(raw: str) -> UUID | None:
    """The id that is written so; None for anything but what was given out, which Python reads in more spellings."""
    try:
        found = UUID(raw)
    except ValueError:
        return None
    return found if str(found) == raw else None


def id_to_look_for(raw: str) -> UUID:
    """The id; for what is none, one that nothing has: it is looked for by the same statements, in the same time."""
    return parse_id(raw) or _OF_NOTHING

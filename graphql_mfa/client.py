"""Who calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_LONGEST_USER_AGENT = 255


@dataclass(frozen=True)
class Client:
    """The address that limits are counted by, and what came with the request, by lower-case name.

    ip_address: its own, where limits are counted by the network that it belongs to. shares_address: whether that may
    be the address of a proxy, and so of any other client too.
    """

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ip_address: str | None = None
    shares_address: bool = False

    @property
    def user_agent(self) -> str | None:
        """What it says it is, for its user to recognise: printable, and no longer than anyone reads."""
        text = self.headers.get("user-agent", "")[:_LONGEST_USER_AGENT]
        return "".join(character for character in text if character.isprintable()) or None

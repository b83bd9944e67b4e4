"""The client of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_LONGEST_USER_AGENT = 255


@dataclass(frozen=True)
class Client:
    """The client of a request. headers: of the request, by lower-case name.

    address: the address or network that limits are counted by. ip_address: the client's own address. shares_address:
    whether `address` may be a proxy's, and so that of any other client too.
    """

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ip_address: str | None = None
    shares_address: bool = False

    @property
    def user_agent(self) -> str | None:
        """The `User-Agent` for lists of sessions and events: its printable characters, 255 at most."""
        text = self.headers.get("user-agent", "")[:_LONGEST_USER_AGENT]
        return "".join(character for character in text if character.isprintable()) or None


OPERATOR = Client(address="")
"""The client of what an operator does: its events have neither address nor user agent."""

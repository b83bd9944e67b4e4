"""The warning about a proxy that the settings do not name."""

import logging
from datetime import datetime, timedelta

from graphql_mfa.core.addresses import Address

_log = logging.getLogger("graphql_mfa")

_PAUSE = timedelta(hours=1)
_WARNING = (
    "X-Forwarded-For came from {peer}, which GRAPHQL_MFA_TRUSTED_PROXIES does not name: it is ignored, and all clients "
    "behind that address count as one."
)


class UnnamedProxy:
    """Peers that send `X-Forwarded-For` without being trusted: logged at most once an hour, and shown by /readyz."""

    def __init__(self) -> None:
        self._logged_at: datetime | None = None
        self._seen_at: datetime | None = None

    def report(self, peer: Address | None, now: datetime) -> None:
        """Such a peer sent a request."""
        self._seen_at = now
        if self._logged_at is None or now - self._logged_at >= _PAUSE:
            self._logged_at = now
            _log.warning("%s", _WARNING.format(peer=peer))

    def warning(self, now: datetime) -> str | None:
        """What is wrong, if a request came that way within the last hour. It names no address: strangers read it."""
        if self._seen_at is None or now - self._seen_at >= _PAUSE:
            return None
        return _WARNING.format(peer="an address")

"""Other services that do the same work."""

from benchmarks.target import Target

PEERS: tuple[Target, ...] = ()

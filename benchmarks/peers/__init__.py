"""Other services that do the same work."""

from benchmarks.peers.better_auth.target import BETTER_AUTH
from benchmarks.peers.django_allauth.target import DJANGO_ALLAUTH
from benchmarks.target import Target

PEERS: tuple[Target, ...] = (BETTER_AUTH, DJANGO_ALLAUTH)

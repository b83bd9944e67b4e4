"""better-auth on Node, with its plugins for user names and the second factor. It has no refresh tokens."""

from urllib.parse import parse_qs, urlsplit

from benchmarks.peers.peer import Peer, demand, post
from benchmarks.target import Answer, Request, Step, Target, User

_BASE = "/api/auth"
# It answers a request with cookies only from its own origin.
_ORIGIN = {"Origin": "https://auth.example.com"}


def _post(path: str, user: User, body: dict[str, str]) -> Request:
    return post(_BASE + path, body, _headers(user))


def _headers(user: User) -> dict[str, str]:
    cookies = "; ".join(f"{name}={value}" for name, value in user.state.items())
    return {**_ORIGIN, "Cookie": cookies} if cookies else _ORIGIN


def _keep_cookies(user: User, answer: Answer) -> None:
    for name, value in answer.cookies().items():
        user.state[name] = value
        if not value:
            del user.state[name]


def _sign_up(user: User) -> Request:
    body = {"name": user.name, "email": user.email, "username": user.name, "password": user.password}
    return _post("/sign-up/email", user, body)


def _signed_in(user: User, answer: Answer) -> None:
    body = answer.json()
    demand(body.get("token") and body["user"]["username"] == user.name, answer)
    _keep_cookies(user, answer)


def _enabled(user: User, answer: Answer) -> None:
    user.secret = parse_qs(urlsplit(answer.json()["totpURI"]).query)["secret"][0]


def _log_in(user: User) -> Request:
    user.state.clear()
    return _post("/sign-in/username", user, {"username": user.name, "password": user.password})


def _challenged(user: User, answer: Answer) -> None:
    demand(answer.json().get("twoFactorRedirect") is True, answer)
    _keep_cookies(user, answer)


def _require_same_user(user: User, answer: Answer) -> None:
    body = answer.json()
    demand(body and body["user"]["username"] == user.name, answer)


_VERIFY = Step(lambda user: _post("/two-factor/verify-totp", user, {"code": user.code}), _signed_in)

BETTER_AUTH: Target = Peer(
    name="better-auth",
    description="better-auth 1.7.25 with better-sqlite3 12.9.0, on Node",
    requirements="package.json",
    codes_once=False,
    operations={
        "registerUser": [
            Step(_sign_up, _signed_in),
            Step(lambda user: _post("/two-factor/enable", user, {"password": user.password}), _enabled),
        ],
        "confirm": [_VERIFY],
        "login": [Step(_log_in, _challenged)],
        "verifyOtp": [_VERIFY],
        "me": [Step(lambda user: Request(f"{_BASE}/get-session", b"", "GET", _headers(user)), _require_same_user)],
    },
    ready=Request(f"{_BASE}/ok", method="GET"),
    start=lambda peer, port: ["node", str(peer.installed / "server.js"), str(port)],
    migrate=lambda peer: ["node", str(peer.installed / "server.js"), "migrate"],
    environment={"NODE_ENV": "production"},
)

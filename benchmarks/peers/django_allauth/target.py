"""django-allauth without pages, for the client that is an app, in one process of gunicorn with threads."""

from benchmarks.peers.peer import Peer, answered, demand, post
from benchmarks.target import Answer, Request, Step, Target, User

_BASE = "/_allauth/app/v1"


def _headers(user: User) -> dict[str, str]:
    if token := user.state.get("access token"):
        return {"Authorization": f"Bearer {token}"}
    if token := user.state.get("session token"):
        return {"X-Session-Token": token}
    return {}


def _get(path: str, user: User) -> Request:
    return Request(_BASE + path, b"", "GET", _headers(user))


def _post(path: str, user: User, body: dict[str, str]) -> Request:
    return post(_BASE + path, body, _headers(user))


def _with_password(path: str, user: User) -> Request:
    user.state.clear()
    return _post(path, user, {"username": user.name, "password": user.password})


def _signed_in(user: User, answer: Answer) -> None:
    body = answer.json()
    demand(body["data"]["user"]["username"] == user.name and body["meta"]["is_authenticated"], answer)
    user.state |= {"access token": body["meta"]["access_token"], "refresh token": body["meta"]["refresh_token"]}


def _secret_given(user: User, answer: Answer) -> None:
    # Without an authenticator it answers "Not found", with the secret for a new one.
    user.secret = answered(answer, 404)["meta"]["secret"]


def _confirmed(_: User, answer: Answer) -> None:
    demand(answer.json()["data"]["type"] == "totp", answer)


def _challenged(user: User, answer: Answer) -> None:
    # "Unauthorized" is its answer until the second factor was checked.
    body = answered(answer, 401)
    demand({"id": "mfa_authenticate", "is_pending": True}.items() <= _pending(body).items(), answer)
    user.state["session token"] = body["meta"]["session_token"]


def _pending(body: dict[str, dict[str, list[dict[str, object]]]]) -> dict[str, object]:
    return next((flow for flow in body["data"]["flows"] if flow.get("is_pending")), {})


def _require_same_user(user: User, answer: Answer) -> None:
    demand(answer.json()["data"]["user"]["username"] == user.name, answer)


def _refresh(user: User) -> Request:
    return post(f"{_BASE}/tokens/refresh", {"refresh_token": user.state["refresh token"]}, {})


def _refreshed(user: User, answer: Answer) -> None:
    data = answer.json()["data"]
    user.state |= {"access token": data["access_token"], "refresh token": data["refresh_token"]}


DJANGO_ALLAUTH: Target = Peer(
    name="django-allauth",
    description="django-allauth 65.21.1 on Django 5.2.19, gunicorn 27.0.1 with four threads",
    requirements="requirements.txt",
    codes_once=True,
    operations={
        "registerUser": [
            Step(lambda user: _with_password("/auth/signup", user), _signed_in),
            # It forgets that who has just signed up has given a password.
            Step(lambda user: _post("/auth/reauthenticate", user, {"password": user.password}), _require_same_user),
            Step(lambda user: _get("/account/authenticators/totp", user), _secret_given),
        ],
        "confirm": [
            Step(lambda user: _post("/account/authenticators/totp", user, {"code": user.code}), _confirmed),
        ],
        "login": [Step(lambda user: _with_password("/auth/login", user), _challenged)],
        "verifyOtp": [Step(lambda user: _post("/auth/2fa/authenticate", user, {"code": user.code}), _signed_in)],
        "me": [Step(lambda user: _get("/auth/session", user), _require_same_user)],
        "refreshSession": [Step(_refresh, _refreshed)],
    },
    ready=Request(f"{_BASE}/config", method="GET"),
    start=lambda peer, port: [
        *(str(peer.installed / "bin/gunicorn"), "--pythonpath", str(peer.source), "--bind", f"127.0.0.1:{port}"),
        *("--workers", "1", "--threads", "4", "django.core.wsgi:get_wsgi_application()"),
    ],
    migrate=lambda peer: [
        *(str(peer.installed / "bin/django-admin"), "migrate", "--verbosity", "0", "--pythonpath", str(peer.source)),
    ],
    environment={"DJANGO_SETTINGS_MODULE": "settings"},
)

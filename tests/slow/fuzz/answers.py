"""Properties of every response of the GraphQL endpoint, for any request."""

import json

import httpx
from hypothesis import HealthCheck, settings

# In continuous integration Hypothesis tries the same examples each time (its own profile for CI), elsewhere new ones.
FUZZ = settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Stands in every secret that is sent, and nowhere else.
MARKER = "QXZJKVWY"


def assert_answer(response: httpx.Response) -> None:
    """An answer of GraphQL over HTTP: well-formed, no fault of the server, no secret that was sent."""
    assert response.status_code < 500, response.text
    assert response.headers["Content-Type"] in {
        "application/json; charset=utf-8",
        "application/graphql-response+json; charset=utf-8",
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert MARKER not in response.text
    assert "Internal server error." not in response.text
    answer = json.loads(response.content.decode("utf-8"))
    assert set(answer) in ({"data"}, {"errors"}, {"data", "errors"}), answer
    assert answer.get("errors") != []
    assert response.status_code == 200 or "errors" in answer, answer

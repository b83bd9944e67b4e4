"""How the service writes its log."""

import json
import logging
from typing import Any

import pytest

from graphql_mfa.logs import JsonFormatter, TextFormatter


def record_of(message: str = "it", error: BaseException | None = None, **added: Any) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("anybody", logging.WARNING, __file__, 1, message, (), exc_info)
    vars(record).update(added)
    return record


def test_an_event_is_one_line_of_json_with_what_was_added() -> None:
    line = JsonFormatter().format(record_of("two\nlines", request_id="a", outcomes=["login=OtpRequired"]))
    assert "\n" not in line
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "two\nlines",
        "level": "warning",
        "logger": "anybody",
        "request_id": "a",
        "outcomes": ["login=OtpRequired"],
    }


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_told_without_what_it_says(formatter: logging.Formatter) -> None:
    try:
        raise RuntimeError("".join(["hunter", "2"]))
    except RuntimeError as error:
        line = formatter.format(record_of(error=error))
    assert "hunter2" not in line
    assert "builtins.RuntimeError" in line
    assert "test_an_exception_is_told_without_what_it_says" in line


def test_at_a_terminal_an_event_is_text() -> None:
    line = TextFormatter().format(record_of("mutation LogIn", status=200))
    assert "mutation LogIn" in line
    assert "status=200" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)

"""How the service writes its log."""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from threading import Thread
from typing import Any, NoReturn

import pytest

from graphql_mfa.logs import JsonFormatter, TextFormatter, format_reports, report


def record_of(message: str = "it", error: BaseException | None = None, **added: Any) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("anybody", logging.WARNING, __file__, 1, message, (), exc_info)
    vars(record).update(added)
    return record


def test_an_event_is_one_line_of_json_with_its_extra_fields() -> None:
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
def test_an_exception_is_logged_without_its_message(formatter: logging.Formatter) -> None:
    try:
        raise RuntimeError("".join(["hunter", "2"]))
    except RuntimeError as error:
        line = formatter.format(record_of(error=error))
    assert "hunter2" not in line
    assert "builtins.RuntimeError" in line
    assert "test_an_exception_is_logged_without_its_message" in line


def test_at_a_terminal_an_event_is_text() -> None:
    line = TextFormatter().format(record_of("mutation LogIn", status=200))
    assert "mutation LogIn" in line
    assert "status=200" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


def fail() -> NoReturn:
    raise RuntimeError("".join(["hunter", "2"]))


class FailsWhenDeleted:
    def __del__(self) -> None:
        fail()


def raise_to_the_top() -> None:
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)


def raise_in_a_thread() -> None:
    thread = Thread(target=fail)
    thread.start()
    thread.join()


def raise_in_a_finalizer() -> None:
    FailsWhenDeleted()


@pytest.mark.usefixtures("serve_in_process")
@pytest.mark.parametrize("raise_it", [raise_to_the_top, raise_in_a_thread, raise_in_a_finalizer])
def test_an_uncaught_exception_is_one_line_of_json(
    capsys: pytest.CaptureFixture[str], raise_it: Callable[[], None]
) -> None:
    format_reports(json=True)
    raise_it()
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("Unexpected error", "critical")
    assert "builtins.RuntimeError" in event["exception"]
    assert "hunter2" not in line


@pytest.mark.usefixtures("serve_in_process")
def test_a_python_warning_is_one_line_of_json_with_its_location(capsys: pytest.CaptureFixture[str]) -> None:
    format_reports(json=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("two\nlines", stacklevel=1)
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("two\nlines", "warning")
    assert __file__ in event["where"]


@pytest.mark.usefixtures("serve_in_process")
def test_at_a_terminal_a_message_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    format_reports(json=False)
    report("Port 8000 is in use.")
    assert capsys.readouterr().err == "Port 8000 is in use.\n"

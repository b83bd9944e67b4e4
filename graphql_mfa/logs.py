"""The log: JSON for machines, text at a terminal, and never the message of an unexpected exception."""

import json
import logging
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from typing import Any

from graphql_mfa.core.access_tokens import InvalidClaimsError
from graphql_mfa.store.outages import UnavailableError

_log = logging.getLogger("graphql_mfa")

# Writes to the current sys.stderr, and is Python's handler until logging is configured.
_stderr = logging.lastResort or logging.StreamHandler()

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "color_message"}


def log_unexpected(error: BaseException, where: str) -> None:
    """Log the stack trace of an exception and its causes without their messages, which may contain a password.

    Errors whose messages this package makes are logged in one line instead.
    """
    if isinstance(error, UnavailableError | InvalidClaimsError):
        _log.error("%s: %s", where, error)
        return
    _log.error("Unexpected error in %s:\n%s", where, trace_of(error))


def trace_of(error: BaseException) -> str:
    """The stack trace as Python prints it, without the exceptions' messages."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{trace_of(cause)}which led to\n" if cause else ""
    stack = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{stack}{type(error).__module__}.{type(error).__qualname__}\n"


def logs_json(log_format: str) -> bool:
    """Whether a value of GRAPHQL_MFA_LOG_FORMAT means JSON. An invalid value counts as `auto`."""
    return log_format == "json" or (log_format != "text" and not sys.stderr.isatty())


def report(message: str, level: int = logging.ERROR, error: BaseException | None = None, **added: str) -> None:
    """Write a command's message to standard error; `format_reports` may make it JSON, which has the `added` members."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("graphql_mfa.command", level, "", 0, message, (), exc_info)
    vars(record).update(added)
    _stderr.handle(record)


def format_reports(*, json: bool) -> None:
    """Format reports, warnings and uncaught exceptions of this process, and what is logged before `log_config`."""
    _stderr.setFormatter(JsonFormatter() if json else MessageFormatter())
    warnings.showwarning = report_warning
    sys.excepthook = lambda _, error, __: _report_exception(error)
    threading.excepthook = lambda thrown: _report_exception(thrown.exc_value)
    sys.unraisablehook = lambda thrown: _report_exception(thrown.exc_value)


def log_config(*, json: bool) -> dict[str, Any]:
    """A configuration for `logging.config.dictConfig`: one line for each record, to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": JsonFormatter if json else TextFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "graphql_mfa": {"level": "INFO"},
            "graphql_mfa.http_server": {"level": "ERROR"},
            "uvicorn": {"level": "INFO"},
        },
    }


class JsonFormatter(logging.Formatter):
    """Formats a record with its extra attributes as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_event(record), default=str)


class MessageFormatter(logging.Formatter):
    """Formats a record as its message, followed by the stack trace."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging calls it
        return trace_of(ei[1])


class TextFormatter(logging.Formatter):
    """Formats a record as its message and its extra attributes, followed by the stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        event = _event(record)
        trace = event.pop("exception", None)
        fixed = [event.pop(name) for name in ("timestamp", "level", "event", "logger")]
        line = "{} {:8} {:32} {}".format(*fixed) + "".join(f" {name}={value}" for name, value in event.items())
        return f"{line}\n{trace}" if trace else line


def _event(record: logging.LogRecord) -> dict[str, Any]:
    event = {
        "event": record.getMessage(),
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        **{name: value for name, value in vars(record).items() if name not in _STANDARD},
    }
    if record.exc_info and record.exc_info[1]:
        event["exception"] = trace_of(record.exc_info[1])
    return event


def report_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    """Report a warning of Python's, as `warnings.showwarning`."""
    report(str(message), logging.WARNING, category=category.__name__, where=f"{filename}:{lineno}")


def _report_exception(error: BaseException | None) -> None:
    report("Unexpected error", logging.CRITICAL, error)

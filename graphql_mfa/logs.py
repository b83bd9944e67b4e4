"""How `graphql-mfa serve` writes its log: JSON for machines, text at a terminal."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from graphql_mfa.http.unexpected import trace_of

# What a record has without anybody's doing, and what uvicorn adds for a terminal.
_NOT_ADDED = {*vars(logging.makeLogRecord({})), "message", "color_message"}


def log_config(*, json: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`: one line for each event, to standard error."""
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
    """What came with a record is beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return json.dumps(_event(record), default=str)


class TextFormatter(logging.Formatter):
    """What came with a record is after its message; where an exception came from is below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, but for an exception."""
        event = _event(record)
        trace = event.pop("exception", None)
        fixed = [event.pop(name) for name in ("timestamp", "level", "event", "logger")]
        line = "{} {:8} {:32} {}".format(*fixed) + "".join(f" {name}={value}" for name, value in event.items())
        return f"{line}\n{trace}" if trace else line


def _event(record: logging.LogRecord) -> dict[str, Any]:
    """All that is told. Of an exception where it came from, as a text: what it says may hold a secret."""
    event = {
        "event": record.getMessage(),
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        **{name: value for name, value in vars(record).items() if name not in _NOT_ADDED},
    }
    if record.exc_info and record.exc_info[1]:
        event["exception"] = trace_of(record.exc_info[1])
    return event

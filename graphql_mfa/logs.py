"""How `graphql-mfa serve` writes its log: JSON for machines, text at a terminal."""

import sys
from typing import Any

from structlog import dev, processors, stdlib
from structlog.typing import EventDict, WrappedLogger

from graphql_mfa.api.unexpected import trace_of


def log_config(*, json: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`: one line for each event, to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "graphql_mfa.logs.formatter", "json": json}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "graphql_mfa": {"level": "INFO"},
            "graphql_mfa.http_server": {"level": "ERROR"},
            "uvicorn": {"level": "INFO"},
        },
    }


def formatter(*, json: bool) -> stdlib.ProcessorFormatter:
    """Shows what came with a record beside its message."""
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            processors.TimeStamper(fmt="iso", utc=True),
            stdlib.add_log_level,
            stdlib.add_logger_name,
            stdlib.ExtraAdder(),
            _without_messages_of_exceptions,
        ],
        processors=[
            stdlib.ProcessorFormatter.remove_processors_meta,
            processors.JSONRenderer() if json else dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
    )


def _without_messages_of_exceptions(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Where an exception came from, as a text; what it says may hold a secret."""
    event.pop("color_message", None)  # uvicorn's
    error = event.pop("exc_info", None)
    if error:
        event["exception"] = trace_of(error[1])
    return event

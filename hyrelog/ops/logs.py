"""Logs: one line per fact, as JSON for machines or coloured text for people (LOG_FORMAT), on standard error."""

import logging
import logging.config
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, cast

import structlog

_logger = structlog.stdlib.get_logger("hyrelog")

QUIET = ("events.recorded", "lane.rung")
"""Facts that are told too often to be a line each in a log that people read."""


_SECRETS = re.compile(r"(hlk_|whsec_|/gdpr/downloads/)[A-Za-z0-9_+/=-]{8,}")
"""What a URL or a message may carry that opens something: keys, signing secrets, the tokens of download links."""


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """The last step of every line, whoever wrote it: secrets leave only their kind behind."""

    def format(self, record: logging.LogRecord) -> str:
        return _SECRETS.sub(r"\1…", super().format(record))


def drop_traceback_of_lost_child(record: logging.LogRecord) -> bool:
    """A filter: of a child process that has ended, Celery's own traceback tells nothing that the line does not."""
    if record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == "WorkerLostError":
        record.exc_info = None
    return True


def configure(options: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG; `options` is `{"format": "json" | "console"}`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Plain tracebacks: the renderer's own would print local variables, keys and secrets among them.
    colors = sys.stderr.isatty() or "FORCE_COLOR" in os.environ
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    last: list[Any] = (
        [console]
        if options["format"] == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": RedactingFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
                }
            },
            "filters": {"lost child": {"()": lambda: drop_traceback_of_lost_child}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": "INFO"},
            "loggers": {
                # One line per task would be one line per bell; what a bell led to is told by notices.
                "celery.worker.request": {"filters": ["lost child"]},
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "botocore": {"level": "WARNING"},  # it tells of each client where its credentials came from
                "urllib3": {"level": "ERROR"},  # its warnings name URLs, whose paths may hold tokens
                "flower.inspector": {"level": "ERROR"},  # it warns until the first worker has answered
                # uvicorn has made its own by now; its lines are to look like all others.
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.error": {"handlers": [], "propagate": True},
                "uvicorn.access": {"handlers": [], "propagate": False},  # a proxy's business; paths may hold tokens
            },
        }
    )


def log_notice(name: str, facts: Mapping[str, Any]) -> None:
    """The subscriber that turns notices into log lines."""
    level = logging.DEBUG if name in QUIET else logging.INFO
    _logger.log(level, name, **cast("dict[str, Any]", {key: _plain(value) for key, value in facts.items()}))


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)

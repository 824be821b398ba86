"""Structured logs to standard error, with keys from one list: one JSON object a line, or what a
person reads where that is a terminal.

A key that is not declared here is dropped and named, so that nothing reaches a log by
accident. Free text from requests and providers is never a value; an exception is logged as
its type and its frames, because its words may quote data.
"""

import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

KEYS: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "exception",
        "frames",
        "undeclared",
        "alert",
        "asked",
        "at_work_already",
        "attempt",
        "caller",
        "channel",
        "cancelled",
        "clock_skew",
        "closed",
        "code",
        "counted",
        "deleted",
        "delivery",
        "disabled",
        "discrepancies",
        "due",
        "duration_ms",
        "examined",
        "expiring",
        "failed",
        "failing",
        "folder",
        "healed",
        "held",
        "host",
        "in_step",
        "intent",
        "intents",
        "job",
        "lapsed",
        "late",
        "limit",
        "merchants",
        "method",
        "mismatches",
        "missed",
        "missing",
        "mode",
        "not_compared",
        "orphans",
        "taken_up",
        "port",
        "process",
        "processes",
        "provider_account_changed",
        "provider_account_unreadable",
        "provider_event",
        "provider_pin_unreadable",
        "provider_unreachable",
        "reason",
        "request_id",
        "resolved",
        "route",
        "sent",
        "settled",
        "status",
        "unfinished",
        "unresolved",
        "until",
        "waiting",
        "wanted",
    }
)


def configure() -> None:
    """Set up logging for this process. Libraries' own warnings come the same way."""
    show: structlog.types.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        show = structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"), pad_event_to=0)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception,
            _declared_only,
            show,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s:%(lineno)d"
    )


def logger() -> Any:
    """The logger of the house."""
    return structlog.get_logger()


def _exception(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = entry.pop("error", None)
    if isinstance(error, BaseException):
        entry["exception"] = type(error).__qualname__
        entry["frames"] = [
            f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
    return entry


def _declared_only(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    undeclared = sorted(set(entry) - KEYS)
    for key in undeclared:
        del entry[key]
    if undeclared:
        entry["undeclared"] = undeclared
    return entry

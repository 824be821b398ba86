"""Structured logs to standard error, with keys from one list: one JSON object a line, or what a
person reads where that is a terminal.

A key that is not declared here is dropped and named, so that nothing reaches a log by
accident. Free text from requests and providers is never a value; an exception is logged as
its type and its frames, because its words may quote data. What is written all the same is searched
for card data before it leaves (`guarded.py` searches whatever else a process writes).
"""

import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from paygate.domain.card_data.mask import cleared

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
        "entries",
        "duration_ms",
        "examined",
        "expiring",
        "failed",
        "failing",
        "faults",
        "folder",
        "generation",
        "healed",
        "held",
        "host",
        "in_step",
        "intent",
        "intents",
        "job",
        "lapsed",
        "late",
        "left",
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
        "sealed",
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
        "rows",
        "sent",
        "settled",
        "status",
        "unfinished",
        "unresolved",
        "unread",
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
            _no_card_data,
            show,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Wordless("%(levelname)s %(name)s:%(lineno)d"))
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    logging.captureWarnings(capture=True)


class _Wordless(logging.Formatter):
    """A library's line: who says it, and of an exception the type and the frames. Its words may
    quote data.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- the library's name
        kind, _, trace = ei
        return " ".join([getattr(kind, "__qualname__", "exception"), *_frames(trace)])

    def formatStack(self, _: str) -> str:  # noqa: N802 -- the library's name
        return ""


def logger() -> Any:
    """The logger of the house."""
    return structlog.get_logger()


def _exception(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = entry.pop("error", None)
    if isinstance(error, BaseException):
        entry["exception"] = type(error).__qualname__
        entry["frames"] = _frames(error.__traceback__)
    return entry


def _frames(trace: Any) -> list[str]:
    return [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(trace)]


def _declared_only(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    undeclared = sorted(set(entry) - KEYS)
    for key in undeclared:
        del entry[key]
    if undeclared:
        entry["undeclared"] = undeclared
    return entry


def _no_card_data(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last look, should a declared key ever hold what it must not."""
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = cleared(value)
        elif isinstance(value, list):
            entry[key] = [cleared(each) if isinstance(each, str) else each for each in value]
    return entry

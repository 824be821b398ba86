"""The types of reports, and until when each has data.

It must never make a report.
"""

from dataclasses import dataclass
from typing import Final

from paygate_sandbox.protocol.errors import missing_object
from paygate_sandbox.protocol.parameters import Parameters
from paygate_sandbox.resources.endpoint import Call, Endpoint
from paygate_sandbox.resources.reports.columns import DEFAULT_COLUMNS
from paygate_sandbox.store.objects import JsonObject

KIND: Final = "reporting.report_type"
_DAY: Final = 86_400
_READY_AFTER: Final = _DAY // 2
"""A day's data comes about noon UTC of the next."""
_BEGINNING: Final = 1_577_836_800
"""2020-01-01: nothing is older."""


@dataclass(frozen=True, slots=True)
class ReportType:
    """Whether it wants an interval or a payout, of which one that can have either wants one."""

    name: str
    version: int
    by_interval: bool
    by_payout: bool


TYPES: Final = {
    "payout_reconciliation.itemized.5": ReportType(
        "Itemized payout reconciliation", 5, by_interval=True, by_payout=True
    ),
    "payout_reconciliation.by_id.itemized.4": ReportType(
        "Itemized payout reconciliation by id", 4, by_interval=False, by_payout=True
    ),
}


def available_until(now: int) -> int:
    """Before which moment all data is there: a midnight UTC."""
    return (now - _READY_AFTER) // _DAY * _DAY


def available_since() -> int:
    return _BEGINNING


def _body(identity: str, now: int) -> JsonObject:
    found = TYPES[identity]
    until = available_until(now)
    return {
        "id": identity,
        "object": KIND,
        "data_available_end": until,
        "data_available_start": _BEGINNING,
        "default_columns": list(DEFAULT_COLUMNS),
        "livemode": False,
        "name": found.name,
        "updated": until + _READY_AFTER,
        "version": found.version,
    }


def retrieve(call: Call) -> JsonObject:
    if call.target not in TYPES:
        raise missing_object(KIND, call.target)
    return _body(call.target, call.books.now)


def list_types(call: Call) -> JsonObject:
    return {
        "object": "list",
        "data": [_body(each, call.books.now) for each in TYPES],
        "has_more": False,
        "url": "/v1/reporting/report_types",
    }


ENDPOINTS = (
    Endpoint("GET", "reporting/report_types/{}", KIND, "retrieve", Parameters(), retrieve),
    Endpoint("GET", "reporting/report_types", KIND, "list", Parameters(), list_types),
)

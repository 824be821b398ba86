"""Runs of reports: ordered, made a while later, told of, and their files given out.

It must never give a file to who has no key.
"""

from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError, missing_object, missing_parameter
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import (
    Hash,
    Integer,
    ListOf,
    Parameters,
    Text,
    Unsupported,
)
from paygate_sandbox.resources.currencies import Currency
from paygate_sandbox.resources.endpoint import Call, Download, Endpoint, Page, refer
from paygate_sandbox.resources.reports import itemized, types
from paygate_sandbox.resources.reports.columns import DEFAULT_COLUMNS, cell
from paygate_sandbox.store.objects import Filing, JsonObject, Record

KIND: Final = "reporting.report_run"
# The timer of a run that is made.
MAKE: Final = "make_report"
_MADE_AFTER: Final = 5
_KEPT_SECONDS: Final = 365 * 86_400
PURPOSE: Final = "finance_report_run"
_FAILED: Final = "An unexpected error occurred while the report was made. Please try again."


def create(call: Call) -> Record:
    books, params = call.books, call.params
    given: JsonObject = params.get("parameters", {})
    _check(call, params["report_type"], given)
    body: JsonObject = {
        "id": books.new_id("frr"),
        "object": KIND,
        "created": books.now,
        "error": None,
        "livemode": False,
        "parameters": given,
        "report_type": params["report_type"],
        "result": None,
        "status": "pending",
        "succeeded_at": None,
    }
    run = Record(body)
    books.insert(run, Filing())
    books.set_timer(run.id, MAKE, books.now + _MADE_AFTER)
    return run


def _check(call: Call, report_type: str, given: JsonObject) -> None:
    kind = types.TYPES.get(report_type)
    if kind is None:
        raise StripeError(f"Invalid report_type: {report_type[:100]}", param="report_type")
    if "payout" in given:
        if not kind.by_payout:
            raise _unwanted("payout")
        payout = refer(call.books, "payout", given["payout"], "parameters[payout]")
        if not payout.body["automatic"]:
            raise StripeError(
                "Reports of payouts are available for automatic payouts only.",
                param="parameters[payout]",
            )
    elif not kind.by_interval:
        raise missing_parameter("parameters[payout]")
    else:
        _check_interval(call.books.now, given)
    for name in given.get("columns", ()):
        if cell(name) is None:
            raise StripeError(
                f"Invalid column for this report type: {name[:100]}", param="parameters[columns]"
            )
    if given.get("timezone", "Etc/UTC") not in available_timezones():
        raise StripeError("Invalid timezone", param="parameters[timezone]")


def _check_interval(now: int, given: JsonObject) -> None:
    for name in ("interval_start", "interval_end"):
        if name not in given:
            raise missing_parameter(f"parameters[{name}]")
    since, until = given["interval_start"], given["interval_end"]
    known = types.available_until(now)
    if until > known:
        raise StripeError(
            f"The interval_end of {until} is after the data that is available, until {known}. See "
            "data_available_end of the report type.",
            param="parameters[interval_end]",
        )
    if not types.available_since() <= since < until:
        raise StripeError(
            "The interval_start must be before the interval_end, and not before the "
            "data_available_start of the report type.",
            param="parameters[interval_start]",
        )


def _unwanted(name: str) -> StripeError:
    return StripeError(f"This report type has no {name}.", param=f"parameters[{name}]")


def make(books: Books, run_id: str) -> None:
    """The timer of a run. A fault may keep it waiting, or let it fail."""
    run = books.find(KIND, run_id)
    assert run is not None, "a run is never deleted"
    struck = books.parts.faults.draw("reports", "run")
    if struck is not None and struck.kind == "stay_pending":
        books.set_timer(run.id, MAKE, books.now + int(struck.seconds))
        return
    if struck is not None:
        run.body["status"], run.body["error"] = "failed", _FAILED
    else:
        run.body["result"] = _file_of(books, run).body
        run.body["status"], run.body["succeeded_at"] = "succeeded", books.now
    books.update(run)
    books.emit(f"{KIND}.{run.body['status']}", run)


def _file_of(books: Books, run: Record) -> Record:
    file_id = books.new_id("file")
    written = itemized.write(books, _wanted(run.body["parameters"]), _path(books, file_id))
    body: JsonObject = {
        "id": file_id,
        "object": "file",
        "created": books.now,
        "expires_at": books.now + _KEPT_SECONDS,
        "filename": f"{run.id}.csv",
        "links": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/file_links?file={file_id}",
        },
        "purpose": PURPOSE,
        "size": written.size,
        "title": f"FinanceReportRun {run.id}",
        "type": "csv",
        "url": f"{books.parts.base_url}/v1/files/{file_id}/contents",
    }
    file = Record(body, {"sha256": written.sha256})
    books.insert(file, Filing(type=PURPOSE))
    return file


def _wanted(given: JsonObject) -> itemized.Wanted:
    return itemized.Wanted(
        columns=given.get("columns") or DEFAULT_COLUMNS,
        zone=_zone(given.get("timezone")),
        payout=given.get("payout"),
        since=given.get("interval_start"),
        until=given.get("interval_end"),
        currency=given.get("currency"),
        category=given.get("reporting_category"),
    )


def _zone(name: str | None) -> tzinfo:
    return UTC if name is None else ZoneInfo(name)


def _path(books: Books, file_id: str) -> Path:
    return books.parts.database.directory / "reports" / f"{file_id}.csv"


def contents(call: Call) -> Download:
    file = call.load("file")
    gone = file.body["expires_at"] <= call.books.now
    if file.body["purpose"] != PURPOSE or gone:  # of others only what proves them is kept
        raise missing_object("file", file.id)
    return Download(_path(call.books, file.id), "text/csv")


def retrieve(call: Call) -> Record:
    return call.load(KIND)


def list_runs(call: Call) -> Page:
    objects = call.books.objects
    asked = window(call.params, lambda cursor: objects.cursor(KIND, cursor), "report run")
    filters: dict[str, Any] = {}
    return Page(*trim(objects.page(KIND, asked, filters), asked))


_PARAMETERS: Final = Hash(
    {
        "columns": ListOf(Text(200)),
        "connected_account": Unsupported(),
        "currency": Currency(),
        "interval_end": Integer(minimum=0),
        "interval_start": Integer(minimum=0),
        "payout": Text(),
        "reporting_category": Text(),
        "timezone": Text(100),
    }
)

ENDPOINTS = (
    Endpoint("GET", "reporting/report_runs/{}", KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "reporting/report_runs",
        KIND,
        "reports",
        Parameters(
            {"parameters": _PARAMETERS, "report_type": Text(200)}, required=("report_type",)
        ),
        create,
    ),
    Endpoint(
        "GET",
        "reporting/report_runs",
        KIND,
        "list",
        Parameters(LIST_PARAMETERS),
        list_runs,
        is_list=True,
    ),
    Endpoint("GET", "files/{}/contents", "file", "retrieve", Parameters(), contents),
)

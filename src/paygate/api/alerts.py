"""`/alerts`: what a person must look at, and that somebody did."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus, AlertType, Severity
from paygate.domain.audit import Subject
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.list import list_alerts

PATH = "/alerts"


class AcknowledgementObject(msgspec.Struct, frozen=True):
    """Who saw it."""

    by: str
    at: str
    note: str | None


class AlertObject(msgspec.Struct, frozen=True, kw_only=True):
    """An alert."""

    object: Literal["alert"] = "alert"
    id: str
    livemode: bool
    type: AlertType
    stage: str | None
    severity: Severity
    status: AlertStatus
    subject: Subject
    message: str
    what_to_do: str
    due_at: str | None
    count: int
    first_at: str
    last_at: str
    acknowledged: AcknowledgementObject | None
    created_at: str


class AlertList(ListObject[AlertObject], frozen=True, kw_only=True):
    """A page of alerts."""


class AlertQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /alerts`."""

    status: AlertStatus | None = None


class AcknowledgeAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /alerts/{id}/acknowledge`."""

    note: Annotated[
        Annotated[str, Meta(min_length=1, max_length=500)] | None,
        about("For those who look at it next.", "asked the provider, case 4711"),
    ] = None


def alert_object(alert: Alert) -> AlertObject:
    """The alert as clients see it."""
    problem, seen = alert.problem, alert.acknowledged
    return AlertObject(
        id=alert.id,
        livemode=alert.livemode,
        type=problem.type,
        stage=problem.stage,
        severity=problem.severity,
        status=alert.status,
        subject=problem.subject,
        message=problem.message,
        what_to_do=problem.what_to_do,
        due_at=_time(problem.due_at),
        count=alert.count,
        first_at=time_text(alert.created_at),
        last_at=time_text(alert.last_at),
        acknowledged=None
        if seen is None
        else AcknowledgementObject(seen.by, time_text(seen.at), seen.note),
        created_at=time_text(alert.created_at),
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


async def _list(api: ApiContext, exchange: Exchange, query: AlertQuery) -> AlertList:
    cut = cut_of(query, "alert")
    page = await list_alerts(api.ctx, exchange.known_caller, cut, query.status, exchange.query)
    data = tuple(alert_object(alert) for alert in page.items)
    return AlertList(data=data, has_more=page.has_more, url=PATH)


async def _acknowledge(api: ApiContext, exchange: Exchange, body: AcknowledgeAlert) -> Alert:
    caller, alert_id = exchange.known_caller, exchange.path["id"]
    return await acknowledge_alert(api.ctx, caller, alert_id, note=body.note)


def _show(_: Exchange, alert: Alert) -> AlertObject:
    return alert_object(alert)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List alerts, newest first.",
        action=Action.ALERT_LIST,
        query=AlertQuery,
        response=AlertList,
        handle=_list,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/acknowledge",
        summary="Say that an alert was seen.",
        action=Action.ALERT_ACKNOWLEDGE,
        body=AcknowledgeAlert,
        response=AlertObject,
        handle=_acknowledge,
        show=_show,
    ),
)

"""`/alerts`: what a person must look at, and that somebody did."""

from typing import Annotated

import msgspec
from msgspec import Meta

from paygate.api.alert_object import AlertObject, alert_object
from paygate.api.edge.bodies import about
from paygate.api.edge.body_faults import NOT_BLANK
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.list import list_alerts

PATH = "/alerts"


class AlertList(ListObject[AlertObject], frozen=True, kw_only=True):
    """A page of alerts."""


class AlertQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /alerts`."""

    status: AlertStatus | None = None


class AcknowledgeAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /alerts/{id}/acknowledge`."""

    note: Annotated[
        Annotated[str, Meta(pattern=NOT_BLANK, max_length=500)] | None,
        about("For those who look at it next.", "asked the provider, case 4711"),
    ] = None


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

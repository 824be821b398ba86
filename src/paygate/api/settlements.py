"""`/settlements`: what the provider pays out, line by line. They are of the provider's account, and
so of the keys of `default`.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.body_faults import NOT_BLANK
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.api.settlement_object import (
    SettlementLineObject,
    SettlementObject,
    settlement_line_object,
    settlement_object,
)
from paygate.domain.access.roles import Action
from paygate.domain.settlements.line import MatchState
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.flows.settlements.decide import DecidedLine, match_line
from paygate.flows.settlements.read import (
    LineFilters,
    list_lines,
    list_settlements,
    read_settlement,
)
from paygate.flows.settlements.record_bank_amount import record_bank_amount
from paygate.storage.settlements.reader import SettlementFilters

PATH: Final = "/settlements"
MOST: Final = 2**53 - 1
"""What every reader of JSON takes for an integer."""
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


class SettlementList(ListObject[SettlementObject], frozen=True, kw_only=True):
    """A page of settlements."""


class SettlementLineList(ListObject[SettlementLineObject], frozen=True, kw_only=True):
    """A page of a settlement's lines, in the order in which they were read."""


class SettlementQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /settlements`."""

    status: PayoutStatus | None = None
    matching: Matching | None = None


class LineQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /settlements/{id}/lines`, which go on from page to page one way."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    starting_after: _Id | None = None
    state: MatchState | None = None
    category: LineCategory | None = None
    merchant: _Id | None = None
    payment_intent: _Id | None = None


class ChangeSettlement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /settlements/{id}`."""

    bank_amount: Annotated[
        Annotated[int, Meta(ge=-MOST, le=MOST)],
        about("What the bank received, in the smallest unit; negative when it paid.", 98213),
    ]


class MatchLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /settlements/{id}/lines/{line}/match`."""

    candidate: Annotated[
        _Id | None,
        about(
            "The candidate that the line is for, by the id of its refund or payment intent; null:"
            " none of them is it.",
            "pi_01hzy3v8g5r4m2k9d7c6b5a4z3",
        ),
    ]
    reason: Annotated[
        Annotated[str, Meta(pattern=NOT_BLANK, max_length=500)] | None,
        about("Why; for whoever looks at it later.", "the amount and the day are the order's"),
    ] = None


async def _list(api: ApiContext, exchange: Exchange, query: SettlementQuery) -> SettlementList:
    filters = SettlementFilters(status=query.status, matching=query.matching)
    cut = cut_of(query, "settlement")
    page = await list_settlements(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    data = tuple(settlement_object(each) for each in page.items)
    return SettlementList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> Settlement:
    return await read_settlement(api.ctx, exchange.known_caller, exchange.path["id"])


async def _lines(api: ApiContext, exchange: Exchange, query: LineQuery) -> SettlementLineList:
    settlement_id = exchange.path["id"]
    filters = LineFilters(
        state=query.state,
        category=query.category,
        merchant=query.merchant,
        payment_intent=query.payment_intent,
    )
    lines = await list_lines(
        api.ctx,
        exchange.known_caller,
        settlement_id,
        filters,
        query.limit,
        query.starting_after,
        exchange.query,
    )
    livemode = api.ctx.provider.livemode
    data = tuple(
        settlement_line_object(each, settlement_id, livemode=livemode) for each in lines.items
    )
    return SettlementLineList(
        data=data, has_more=lines.has_more, url=f"{PATH}/{settlement_id}/lines"
    )


async def _change(api: ApiContext, exchange: Exchange, body: ChangeSettlement) -> Settlement:
    caller, settlement_id = exchange.known_caller, exchange.path["id"]
    return await record_bank_amount(api.ctx, caller, settlement_id, body.bank_amount)


async def _match(api: ApiContext, exchange: Exchange, body: MatchLine) -> DecidedLine:
    caller, path = exchange.known_caller, exchange.path
    return await match_line(api.ctx, caller, path["id"], path["line"], body.candidate, body.reason)


def _show(_: Exchange, settlement: Settlement) -> SettlementObject:
    return settlement_object(settlement)


def _show_line(_: Exchange, done: DecidedLine) -> SettlementLineObject:
    of = done.settlement
    return settlement_line_object(done.line, of.id, livemode=of.livemode)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List settlements, one a payout, newest first.",
        action=Action.SETTLEMENT_LIST,
        query=SettlementQuery,
        response=SettlementList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a settlement: its lines by category, and what they leave of the amount.",
        action=Action.SETTLEMENT_READ,
        response=SettlementObject,
        handle=_read,
        show=_show,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}/lines",
        summary="List a settlement's lines, and what each was matched to.",
        action=Action.SETTLEMENT_LINE_LIST,
        query=LineQuery,
        response=SettlementLineList,
        handle=_lines,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}",
        summary="Write down what the bank received of a payout.",
        action=Action.SETTLEMENT_BANK_AMOUNT,
        body=ChangeSettlement,
        response=SettlementObject,
        handle=_change,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/lines/{{line}}/match",
        summary="Take a candidate that is suggested for a line, or refuse them all.",
        action=Action.SETTLEMENT_LINE_MATCH,
        body=MatchLine,
        response=SettlementLineObject,
        handle=_match,
        show=_show_line,
    ),
)

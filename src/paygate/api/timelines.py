"""`/payment-intents/{id}/timeline`: one payment, told from all that is stored of it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.domain.access.roles import Action
from paygate.domain.timeline.entry import Detail, Entry, Kind
from paygate.flows.timeline.explain import Explained, explain_payment


class TimelineEntryObject(
    msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}
):
    """An entry. `summary` is a sentence for a person; `amount` is in the smallest unit. Where
    `outcome` is `unreadable` or `cut`, the entry stands for what cannot be shown.
    """

    at: str
    kind: Kind
    summary: str
    actor: str | None
    request_id: str | None
    before: str | None
    after: str | None
    provider_reference: str | None
    outcome: str | None
    amount: int | None
    currency: str | None
    details: Mapping[str, Detail]


class TimelineObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payment's timeline, the oldest entry first; of what is alike at most 500, the newest."""

    object: Literal["timeline"] = "timeline"
    payment_intent: str
    livemode: bool
    created_at: str
    entries: tuple[TimelineEntryObject, ...]


def timeline_object(explained: Explained) -> TimelineObject:
    """The timeline as clients see it."""
    intent = explained.intent
    return TimelineObject(
        payment_intent=intent.id,
        livemode=intent.livemode,
        created_at=time_text(intent.created_at),
        entries=tuple(map(_entry, explained.entries)),
    )


def _entry(entry: Entry) -> TimelineEntryObject:
    return TimelineEntryObject(
        at=time_text(entry.at),
        kind=entry.kind,
        summary=entry.summary,
        actor=entry.actor,
        request_id=entry.request_id,
        before=entry.before,
        after=entry.after,
        provider_reference=entry.provider_reference,
        outcome=entry.outcome,
        amount=entry.amount,
        currency=entry.currency,
        details=dict(entry.details),
    )


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> Explained:
    return await explain_payment(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, explained: Explained) -> TimelineObject:
    return timeline_object(explained)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/payment-intents/{id}/timeline",
        summary="Explain a payment: what was asked, what the provider said, what came of it.",
        action=Action.INTENT_EXPLAIN,
        response=TimelineObject,
        handle=_read,
        show=_show,
    ),
)

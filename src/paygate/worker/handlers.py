"""The handler of each message."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TypeVar

from paygate.flows.alerts.raise_alert import count_occurrence
from paygate.flows.context import Context
from paygate.flows.customers.erase import erase_as_asked
from paygate.flows.customers.introduce import update_provider_customer
from paygate.flows.disputes.evidence_files import delete_evidence_file
from paygate.flows.payments.sweeps.close_failed import ASK_AGAIN_AFTER, close_failed_payment
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.flows.reconciliation.work_on import reconcile_as_asked
from paygate.flows.settlements.upload_report import HandsFor, read_report_as_asked
from paygate.flows.settlements.work_on import conclude_as_asked, settle_as_asked
from paygate.jobs.messages import (
    ApplyProviderEvent,
    CloseFailedPayment,
    ConcludeSettlement,
    DeleteEvidenceFile,
    EraseCustomer,
    Message,
    RaiseAlert,
    ReadSettlementReport,
    Reconcile,
    SettlePayout,
    UpdateProviderCustomer,
)
from paygate.jobs.queue import Handler, RetryLater

M = TypeVar("M", bound=Message)


def _until_done(
    ctx: Context, work: Callable[[Context, M], Awaitable[timedelta | None]]
) -> Callable[[M], Awaitable[None]]:
    """The handler of work that says how long until it is to be gone on with; None: it is done."""

    async def handle(message: M) -> None:
        if wait := await work(ctx, message):
            raise RetryLater(wait)

    return handle


def handlers(ctx: Context, hands_for: HandsFor) -> Mapping[type[Message], Handler]:
    """A function for every kind of message."""

    async def close(message: CloseFailedPayment) -> None:
        if not await close_failed_payment(ctx, message):
            raise RetryLater(ASK_AGAIN_AFTER)

    counting = asyncio.Lock()

    async def count(message: RaiseAlert) -> None:
        # One at a time: occurrences of one alert would only be in each other's way.
        async with counting:
            await count_occurrence(ctx, message)

    async def read_report(ctx: Context, message: ReadSettlementReport) -> timedelta | None:
        return await read_report_as_asked(ctx, message, hands_for)

    async def update(message: UpdateProviderCustomer) -> None:
        if not await update_provider_customer(ctx, message):
            raise RetryLater(ASK_AGAIN_AFTER)

    return {
        ApplyProviderEvent: _until_done(ctx, apply_received_event),
        CloseFailedPayment: close,
        ConcludeSettlement: partial(conclude_as_asked, ctx),
        DeleteEvidenceFile: partial(delete_evidence_file, ctx),
        EraseCustomer: _until_done(ctx, erase_as_asked),
        RaiseAlert: count,
        ReadSettlementReport: _until_done(ctx, read_report),
        Reconcile: _until_done(ctx, reconcile_as_asked),
        SettlePayout: _until_done(ctx, settle_as_asked),
        UpdateProviderCustomer: update,
    }

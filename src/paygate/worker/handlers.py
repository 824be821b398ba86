"""The handler of each message."""

import asyncio
from collections.abc import Mapping
from functools import partial

from paygate.flows.alerts.raise_alert import count_occurrence
from paygate.flows.context import Context
from paygate.flows.customers.introduce import update_provider_customer
from paygate.flows.disputes.evidence_files import delete_evidence_file
from paygate.flows.payments.sweeps.close_failed import ASK_AGAIN_AFTER, close_failed_payment
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.flows.reconciliation.work_on import reconcile_as_asked
from paygate.jobs.messages import (
    ApplyProviderEvent,
    CloseFailedPayment,
    DeleteEvidenceFile,
    Message,
    RaiseAlert,
    Reconcile,
    UpdateProviderCustomer,
)
from paygate.jobs.queue import Handler, RetryLater


def handlers(ctx: Context) -> Mapping[type[Message], Handler]:
    """A function for every kind of message."""

    async def apply(message: ApplyProviderEvent) -> None:
        if wait := await apply_received_event(ctx, message):
            raise RetryLater(wait)

    async def close(message: CloseFailedPayment) -> None:
        if not await close_failed_payment(ctx, message):
            raise RetryLater(ASK_AGAIN_AFTER)

    counting = asyncio.Lock()

    async def count(message: RaiseAlert) -> None:
        # One at a time: occurrences of one alert would only be in each other's way.
        async with counting:
            await count_occurrence(ctx, message)

    async def reconciliate(message: Reconcile) -> None:
        if wait := await reconcile_as_asked(ctx, message):
            raise RetryLater(wait)

    async def update(message: UpdateProviderCustomer) -> None:
        if not await update_provider_customer(ctx, message):
            raise RetryLater(ASK_AGAIN_AFTER)

    return {
        ApplyProviderEvent: apply,
        CloseFailedPayment: close,
        DeleteEvidenceFile: partial(delete_evidence_file, ctx),
        RaiseAlert: count,
        Reconcile: reconciliate,
        UpdateProviderCustomer: update,
    }

"""Take a payout: its settlement is made when it is first heard of, and follows how it stands.

What tells of a payout - an event, a list - only says which: it is asked for, so that the order in
which news comes never matters.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from paygate.domain import event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.event import Event
from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.outcome import Payout, PayoutStatus
from paygate.domain.settlements.settlement import Settlement, Source, advanced
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.open_discrepancy import open_discrepancy
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import closed_otherwise, payout_failed
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.providers.absence import Absent, ProviderSilent
from paygate.storage.change import Change, Committed, StorageError

_S = PayoutStatus
_TOLD = {_S.PAID: "settlement.paid", _S.FAILED: "settlement.failed"}
"""What merchants are told of, by the status that a payout has come to."""


async def ask_for_payout(ctx: Context, provider_reference: str) -> Payout | None:
    """The payout as it stands; None when the provider has none of that id, or of the other mode.

    Raises:
        ProviderSilent: the provider did not tell.
    """
    said = await ctx.provider.retrieve_payout(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(said, Absent):
        return None
    if not isinstance(said, Payout):
        raise ProviderSilent(said.message)
    return said if said.livemode in (None, ctx.provider.livemode) else None


async def take_payout(ctx: Context, caller: Caller, payout: Payout) -> Settlement:
    """The payout's settlement, as it stands now. One that failed is a discrepancy, and an alert.

    Raises:
        StorageError: others kept changing it.
    """
    patience = Patience("a settlement kept changing", end=StorageError, seconds=CONCLUDING_SECONDS)
    while True:
        standing = await ctx.settlements.of_payout(payout.provider_reference)
        after = _after(ctx, standing, payout)
        if after is standing:
            break
        change = _change(ctx, caller, standing, after)
        if isinstance(await ctx.door.commit(change), Committed):
            break
        await patience.pause()
    ours = after.amount, after.currency
    if not after.is_open and ours != (payout.amount, payout.currency):
        wrong = _closed_otherwise(after, payout)
        problem = closed_otherwise(after.id, wrong)
        await open_discrepancy(ctx, caller, wrong, after.id, problem)
    if payout.status is not _S.FAILED:
        return after
    if after.is_open:
        await open_discrepancy(ctx, caller, _failure(payout), after.id)
        return after
    # What is closed stays as it is: that it failed after all stands beside it.
    failed = replace(after, payout=payout)
    told = settlement_event(ctx, caller, failed, "settlement.failed")
    await open_discrepancy(ctx, caller, _failure(payout), after.id, payout_failed(failed), told)
    return after


def _after(ctx: Context, standing: Settlement | None, payout: Payout) -> Settlement:
    """The settlement as the payout makes it: the one that stands when it tells nothing new."""
    now = ctx.now()
    if standing is None:
        return Settlement(
            id=ctx.new_id("settlement", now),
            merchant=ACCOUNT,
            livemode=ctx.provider.livemode,
            provider_reference=payout.provider_reference,
            source=Source.PROVIDER,
            currency=payout.currency,
            created_at=now,
            updated_at=now,
            payout=payout,
            amount=payout.amount,
        )
    was = standing.payout
    if not standing.is_open or _is_older(payout, was):
        return standing
    if was is not None and replace(payout, as_of=was.as_of) == was:
        return standing  # the same, told once more
    return advanced(standing, now, payout=payout, amount=payout.amount, currency=payout.currency)


def _is_older(payout: Payout, was: Payout | None) -> bool:
    """Whether it tells how the payout stood before what is known of it."""
    if was is None or was.as_of is None or payout.as_of is None:
        return False
    return payout.as_of < was.as_of


def _change(ctx: Context, caller: Caller, standing: Settlement | None, after: Settlement) -> Change:
    told = _events(ctx, caller, standing, after)
    has_failed = after.status is _S.FAILED and (
        standing is None or standing.status is not _S.FAILED
    )
    alerts = (occurrence(ctx, ACCOUNT, payout_failed(after)),) if has_failed else ()
    audit = ctx.audit(
        caller,
        Action.SETTLEMENT_TAKE,
        settlement_subject(after),
        details={"status": after.status, "amount": f"{after.amount} {after.currency}"},
    )
    jobs = to_raise(*alerts)
    if standing is None:
        return Change(audit, creates=(after, *told, *alerts), jobs=jobs)
    return Change(audit, creates=(*told, *alerts), advances=(after,), jobs=jobs)


def _events(
    ctx: Context, caller: Caller, standing: Settlement | None, after: Settlement
) -> Sequence[Event]:
    types = ["settlement.created"] if standing is None else []
    if standing is None or standing.status is not after.status:
        types += [_TOLD[after.status]] if after.status in _TOLD else []
    return [settlement_event(ctx, caller, after, type_) for type_ in types]


def settlement_event(ctx: Context, caller: Caller, settlement: Settlement, type_: str) -> Event:
    """What the account's merchant is told of a settlement."""
    return event.of(
        settlement,
        type_,
        event_id=ctx.new_id("event"),
        at=settlement.updated_at,
        request_id=caller.request_id,
    )


def _closed_otherwise(settlement: Settlement, payout: Payout) -> Found:
    """What is wrong with a settlement that a report has closed with another amount."""
    assert settlement.amount is not None, "nothing closes whose amount nobody has said"
    return Found(
        kind=DiscrepancyKind.PAYOUT_TOTAL_MISMATCH,
        about=payout.provider_reference,
        merchant=ACCOUNT,
        expected=Amount(payout.amount, payout.currency),
        found=Amount(settlement.amount, settlement.currency),
    )


def _failure(payout: Payout) -> Found:
    return Found(
        kind=DiscrepancyKind.PAYOUT_FAILED,
        about=payout.provider_reference,
        merchant=ACCOUNT,
        expected=Amount(payout.amount, payout.currency),
        found=Amount(0, payout.currency),
    )

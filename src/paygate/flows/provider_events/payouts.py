"""What news of a payout comes to: its settlement follows how the payout stands now, and a worker
reads its lines. The event only says which payout: such news comes in any order.
"""

from typing import Final, NamedTuple

from paygate.domain.access.roles import Caller
from paygate.domain.provider_event import EventStatus
from paygate.flows.context import Context
from paygate.flows.payments.attempt.apply_answer import Verdict
from paygate.flows.provider_events.disputes import Heard
from paygate.flows.provider_events.look import PutOff
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.flows.settlements.take import ask_for_payout, take_payout
from paygate.jobs.messages import Job, SettlePayout
from paygate.providers.absence import ProviderSilent

TAKEN: Final = "taken"
NO_SUCH_PAYOUT: Final = "no_such_payout"
"""The verdict on news of a payout that the provider does not have: of a rehearsal, or another
account's."""


class HeardOfPayout(NamedTuple):
    """How the event ends, and what a worker is asked for."""

    heard: Heard
    jobs: tuple[Job, ...] = ()


async def hear_of_payout(ctx: Context, caller: Caller, reference: str) -> HeardOfPayout:
    """Take the payout as it stands.

    Raises:
        PutOff: the provider does not tell.
    """
    try:
        payout = await ask_for_payout(ctx, reference)
    except ProviderSilent:
        raise PutOff(Verdict.UNRESOLVED) from None
    if payout is None:
        return HeardOfPayout(Heard(EventStatus.IGNORED, NO_SUCH_PAYOUT))
    settlement = await take_payout(ctx, caller, payout)
    heard = Heard(EventStatus.PROCESSED, TAKEN, settlement_subject(settlement))
    if not settlement.is_open:
        return HeardOfPayout(heard)
    return HeardOfPayout(heard, (Job(SettlePayout(settlement.merchant, settlement.id)),))

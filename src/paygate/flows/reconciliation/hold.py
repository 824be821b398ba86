"""Examine an object, or hold it: what trips a round up is told and found, hides nothing else, and
keeps no cursor back. The next round asks for it by itself (`ask_held.py`).
"""

from collections.abc import Awaitable
from datetime import datetime
from typing import Final, NamedTuple

from paygate.domain.audit import Subject
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.errors import Refusal
from paygate.domain.reconciliation.finding import Again, FindingKind
from paygate.domain.reconciliation.run import Stage
from paygate.domain.refunds.refund import Refund
from paygate.flows.context import intent_subject
from paygate.flows.reconciliation.problems import missing, unexamined
from paygate.flows.reconciliation.report import ENDS_THE_TURN, Report
from paygate.providers.absence import ProviderSilent
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

_NOT_SAID: Final = "the provider did not say how it stands"
_KINDS: Final = {Stage.REFUNDS: FindingKind.REFUNDED, Stage.DISPUTES: FindingKind.DISPUTE}
"""What a finding is called, where it is not the state that may differ."""
_SUBJECTS: Final = {
    Stage.PAYMENTS: "provider_payment",
    Stage.REFUNDS: "provider_refund",
    Stage.DISPUTES: "provider_dispute",
}


class NotTold(Exception):
    """Nothing could be learned of an object just now."""


class Item(NamedTuple):
    """An object of the provider's, and the list that shows it."""

    of: Stage
    reference: str
    merchant: str = DEFAULT_MERCHANT
    """Whose alert tells of it."""
    payment_intent: str | None = None
    at: datetime | None = None
    """When the provider made it, where its id alone does not find it again."""
    asked_before: bool = False
    """Whether a round before could not examine it either."""

    @property
    def subject(self) -> Subject:
        """What the alert is about."""
        if self.payment_intent is not None:
            return intent_subject(self.payment_intent)
        return Subject(_SUBJECTS.get(self.of, "provider_event"), self.reference)


async def or_held(report: Report, item: Item, work: Awaitable[object]) -> bool:
    """Do the work on an object; False when the object is held because nothing came of it.

    Raises:
        Exception: of `ENDS_THE_TURN`, or it could not be held either.
    """
    try:
        await work
    except UNREAD as fault:
        await report.unreadable(fault)  # its alert, which says what to do
        await _hold(report, item, "a record of ours cannot be read", alert=False)
    except ENDS_THE_TURN:
        raise
    except (NotTold, ProviderSilent, Refusal) as error:
        # Once is a moment's outage. Twice is news.
        why = str(error) if isinstance(error, NotTold) else _NOT_SAID
        await _hold(report, item, why or _NOT_SAID, alert=item.asked_before)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the others are examined
        log.logger().error("reconciliation_faulted", reason=item.of, error=error)
        await _hold(report, item, f"a fault ({type(error).__name__})", alert=True)
    else:
        return True
    return False


async def _hold(report: Report, item: Item, why: str, *, alert: bool) -> None:
    await report.hold(
        _KINDS.get(item.of, FindingKind.STATUS),
        f"unexamined:{item.of}:{item.reference}",
        unexamined(item.subject, item.reference, why) if alert else None,
        merchant=item.merchant,
        payment_intent=item.payment_intent,
        provider_reference=item.reference,
        reason=f"it could not be examined, and is asked for again: {why}",
        again=Again(item.of, item.merchant, item.at),
    )


async def hold_missing(
    report: Report,
    kind: FindingKind,
    subject: Subject,
    ours: Refund | Dispute,
    status: str,
) -> None:
    """Hold what stands here with an id of the provider's that the provider does not know."""
    reason = f"the provider says that it has no such {subject.object}"
    await report.hold(
        kind,
        f"{subject.object}:{ours.provider_reference}",
        missing(subject, f"{reason}: {ours.provider_reference}"),
        merchant=ours.merchant,
        payment_intent=ours.intent,
        provider_reference=ours.provider_reference,
        ours={"status": status},
        theirs={"status": None},
        reason=reason,
    )

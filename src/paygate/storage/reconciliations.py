"""What reconciliation reads: its rounds, what they found, and our side of a page of the provider's
lists at once.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.finding import Finding, FindingAction
from paygate.domain.reconciliation.run import ONE_AT_A_TIME, Reconciliation, RunStatus
from paygate.storage.pages import Cut, Page, Place, Stretch, first_id
from paygate.storage.reading import Reading
from paygate.storage.unreadable import Unread


class Reconciliations(Reading):
    """Raises as `Reading` does."""

    async def reconciliation(self, merchant: str, run_id: str) -> Reconciliation | None:
        """The round, or None."""
        return await self._one(Reconciliation, "reconciliation", merchant, run_id)

    async def running(self, merchant: str) -> Reconciliation | None:
        """The round that has not come to its end, whoever is at work on it; or None."""
        return await self._one(Reconciliation, "reconciliation_running", merchant, ONE_AT_A_TIME)

    async def ended_last(self, merchant: str) -> Reconciliation | None:
        """The newest round that has ended, or None."""
        return await self._one(
            Reconciliation, "reconciliation_ended_last", merchant, RunStatus.RUNNING
        )

    async def page(self, merchant: str, cut: Cut) -> Page[Reconciliation]:
        """A page of the rounds."""
        return await self._page(
            Reconciliation, "reconciliations_older", "reconciliations_newer", cut, merchant
        )

    async def findings(self, merchant: str, run_id: str, cut: Cut) -> Page[Finding]:
        """A page of what a round found."""
        return await self._page(
            Finding,
            "reconciliation_findings_older",
            "reconciliation_findings_newer",
            cut,
            merchant,
            run_id,
        )

    async def held_by(
        self, merchant: str, run_id: str, after: Place | None, limit: int
    ) -> Stretch[Finding]:
        """What a round holds, in the order of the ids."""
        order = ("merchant", "id")
        return await self._stretch(
            Finding,
            "reconciliation_findings_held",
            order,
            after,
            limit,
            merchant,
            run_id,
            FindingAction.HELD,
        )

    async def found(self, merchant: str, run_id: str) -> Mapping[tuple[str, str], int]:
        """How many findings of each kind and action a round has."""
        rows = await self._fetch_all("reconciliation_findings_counted", merchant, run_id)
        return {(row["kind"], row["action"]): row["found"] for row in rows}

    async def resting_on(
        self, references: Collection[str]
    ) -> tuple[Mapping[str, PaymentIntent], Sequence[Unread]]:
        """The intents of all merchants that rest on these payments, by the provider's ids; and why
        others could not be read.
        """
        indexes = [index for each in references for index in self._records.payment_indexes(each)]
        rows = await self._fetch_all("payment_intents_by_provider_references", indexes)
        intents, unread = self._records.open_each(PaymentIntent, map(tuple, rows))
        return {str(each.provider_reference): each for each in intents}, unread

    async def of_status(
        self, status: Status, after: Place | None, limit: int
    ) -> Stretch[PaymentIntent]:
        """The intents of all merchants that stand so, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(
            PaymentIntent, "payment_intents_of_status", order, after, limit, status
        )

    async def made_between(
        self, since: datetime, until: datetime, limit: int
    ) -> Sequence[PaymentIntent]:
        """Some intents created in that time whose payment the provider has."""
        first, last = first_id("payment_intent", since), first_id("payment_intent", until, later=1)
        rows = await self._search("payment_intents_made", first, last, limit)
        return self._records.open_each(PaymentIntent, map(tuple, rows))[0]

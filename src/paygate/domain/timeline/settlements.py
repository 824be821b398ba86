"""In which payouts a payment, its refunds and its disputes were settled, and what differed."""

from collections.abc import Iterable

from paygate.domain.settlements.discrepancy import Amount, Discrepancy, DiscrepancyStatus
from paygate.domain.settlements.settlement import Settlement
from paygate.domain.timeline.entry import Cause, Entry, Kind


def settlements(settled: Iterable[Settlement]) -> list[Entry]:
    """The payouts that have lines of the payment, its refunds or its disputes."""
    return [_settled(each) for each in settled]


def _settled(settlement: Settlement) -> Entry:
    arrival = settlement.arrival_date
    when = "" if arrival is None else f", which arrives on {arrival.isoformat()}"
    how = "is closed" if not settlement.is_open else f"is {settlement.matching}"
    return Entry(
        at=settlement.created_at,
        kind=Kind.SETTLEMENT,
        cause=Cause.MONEY,
        summary=f"Money of it is in payout {settlement.provider_reference}{when}; its settlement"
        f" {how}.",
        provider_reference=settlement.provider_reference,
        outcome=str(settlement.status),
        details={
            "settlement": settlement.id,
            "matching": str(settlement.matching),
            "arrival_date": None if arrival is None else arrival.isoformat(),
        },
    )


def discrepancies(found: Iterable[Discrepancy]) -> list[Entry]:
    """What of its money at the provider was not as it was recorded, and who saw to it."""
    return [entry for each in found for entry in _differs(each)]


def _differs(discrepancy: Discrepancy) -> list[Entry]:
    what, decision = discrepancy.what, discrepancy.decision
    details = {
        "discrepancy": discrepancy.id,
        "settlement": discrepancy.settlement,
        "settlement_line": what.settlement_line,
        "status": str(discrepancy.status),
    }
    entries = [
        Entry(
            at=discrepancy.created_at,
            kind=Kind.SETTLEMENT,
            cause=Cause.ANSWERED,
            summary=f"A discrepancy ({discrepancy.kind}): expected {_words(what.expected)}, found"
            f" {_words(what.found)}.",
            outcome=str(discrepancy.kind),
            amount=what.difference,
            currency=None if what.difference is None or what.found is None else what.found.currency,
            details=details,
        )
    ]
    if decision is not None:
        resolved = discrepancy.status is DiscrepancyStatus.RESOLVED
        entries.append(
            Entry(
                at=decision.at,
                kind=Kind.SETTLEMENT,
                cause=Cause.BECAME,
                summary=f"The discrepancy ({discrepancy.kind}) was"
                f" {'resolved' if resolved else 'explained'}: {decision.reason}",
                actor=decision.actor,
                outcome=str(discrepancy.status),
                details=details,
            )
        )
    return entries


def _words(amount: Amount | None) -> str:
    return "nothing" if amount is None else amount.words

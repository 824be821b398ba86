"""The books day by day: payments, what is given back, what the provider takes, and payouts of it.

Funds are there on the second day after, and each currency is paid out every day. Held in memory
are the rows of the days until then, and what is still to be given back. It must never depend on
anything but the plan.
"""

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from paygate_sandbox.generator.plan import ALONE, DAY, OF_PAYMENTS, Plan
from paygate_sandbox.generator.rows import (
    Discrepancy,
    Dispute,
    Entry,
    Line,
    Payment,
    Payout,
    Refund,
)
from paygate_sandbox.resources.balance.conversion import settle
from paygate_sandbox.resources.balance.fees import fee_on
from paygate_sandbox.settling import Settling

_FUNDS_DAYS: Final = 2
LATE_DAYS: Final = 12
"""By so many days a late line misses its payout: past any window of a few working days."""
_RETURNED_AFTER: Final = 3
"""A payout that fails comes back so many days after it was made."""
_DISPUTE_FEE: Final = 1_500

# Francs are settled in euros, the others in themselves.
CONVERTED: Final = Settling(currency="eur", rates={"chf": "1.0437"})
_CURRENCIES: Final = ("eur", "usd", "gbp", "chf", "jpy")
_SHARES: Final = (0.60, 0.85, 0.95, 0.98)
_LEAST, _MOST = 500, 50_000

# Of a thousand payments: somebody else's on the same account; captured in part and told in two
# rows; refunded in part, or wholly; charged back, and of those every fourth won.
_FOREIGN, _IN_TWO, _IN_PART, _REFUNDED, _CHARGED_BACK = 10, 20, 40, 60, 63
_LATEST_RETURN: Final = 20
_WON_AFTER: Final = 30


class _Owed(NamedTuple):
    """What a later day brings of a payment."""

    kind: str
    payment: Payment
    amount: int


def _settled(amount: int, currency: str) -> tuple[int, str]:
    if currency not in CONVERTED.rates:
        return amount, currency
    settled = settle(CONVERTED, amount, currency)
    return settled.amount, settled.currency


class Generator:
    """One run over the plan. Raises PlanError where the plan makes no sense."""

    def __init__(self, plan: Plan) -> None:
        plan.check()
        self._plan = plan
        self._random = random.Random(f"books:{plan.seed}")
        # Two seeds share no id.
        self._tag = f"{plan.seed & 0xFFFFFFFF:08x}"
        self._rows = 0
        self._payouts = 0
        self._left = {
            kind: plan.wanted(kind) for kind in ("payout_total_mismatch", "payout_failed")
        }
        self._available: dict[int, list[Line]] = defaultdict(list)
        self._later: dict[int, list[_Owed]] = defaultdict(list)
        self._labelled: dict[str, Discrepancy] = {}
        self._victims = self._choose_victims()

    def _choose_victims(self) -> dict[int, str]:
        kinds = [kind for kind in OF_PAYMENTS for _ in range(self._plan.wanted(kind))]
        numbers = self._random.sample(range(self._plan.payments), len(kinds))
        return dict(zip(numbers, kinds, strict=True))

    def entries(self) -> Iterator[Entry]:
        """Everything, in the order in which it happens; a label stands before what it is about."""
        plan = self._plan
        day = 0
        while day < plan.days or self._available or self._later:
            if day < plan.days:
                first, end = (plan.payments * each // plan.days for each in (day, day + 1))
                for number in range(first, end):
                    second = (number - first) * DAY // (end - first)
                    yield from self._pay(number, day, plan.start + day * DAY + second)
                self._provider_rows(day)
            for owed in self._later.pop(day, ()):
                yield from self._give_back(owed, day)
            yield from self._pay_out(day)
            day += 1

    def _pay(self, number: int, day: int, at: int) -> Iterator[Entry]:
        kind = self._victims.get(number)
        draw = self._random.random
        currency = _CURRENCIES[bisect(_SHARES, draw())]
        amount = _LEAST + int(draw() * (_MOST - _LEAST))
        share = int(draw() * 1000)
        if kind is not None:
            currency, share = ("eur" if kind == "currency_mismatch" else currency), 1000
        in_two = _FOREIGN <= share < _IN_TWO
        captured = amount * 3 // 5 if in_two else amount
        payment = Payment(
            payment_intent=f"pi_3{self._tag}{number:010d}",
            charge=f"ch_3{self._tag}{number:010d}",
            attempt=self._plan.name_attempt(number),
            amount=amount,
            amount_captured=captured,
            currency=currency,
            status="succeeded",
            captured_at=at,
        )
        line = self._charged(payment, day, marked=share >= _FOREIGN)
        if share < _FOREIGN:
            self._book(day + _FUNDS_DAYS, line)
        elif kind is None:
            yield payment
            self._book(day + _FUNDS_DAYS, line)
            if in_two:
                self._book(day + _FUNDS_DAYS, self._reversed(payment, line))
            elif share < _CHARGED_BACK:
                self._owe(payment, share, day)
        else:
            yield from self._go_wrong(kind, payment, line, day)

    def _charged(self, payment: Payment, day: int, *, marked: bool) -> Line:
        gross, currency = _settled(payment.amount, payment.currency)
        captured = _settled(payment.amount_captured, payment.currency)[0]
        return Line(
            transaction=self._new_id("txn"),
            category="charge",
            gross=gross,
            fee=fee_on(captured, currency),
            currency=currency,
            created_at=payment.captured_at,
            available_on=self._plan.start + (day + _FUNDS_DAYS) * DAY,
            description="Payment",
            source=payment.charge,
            charge=payment.charge,
            payment_intent=payment.payment_intent,
            charged_at=payment.captured_at,
            customer_amount=payment.amount_captured,
            customer_currency=payment.currency,
            attempt=payment.attempt if marked else "",
            marked=marked,
        )

    def _reversed(self, payment: Payment, line: Line) -> Line:
        captured = _settled(payment.amount_captured, payment.currency)[0]
        return line._replace(
            transaction=self._new_id("txn"),
            category="partial_capture_reversal",
            gross=captured - line.gross,
            fee=0,
            description="Partial capture reversal",
        )

    def _owe(self, payment: Payment, share: int, day: int) -> None:
        due = day + 1 + int(self._random.random() * _LATEST_RETURN)
        if share < _IN_PART:
            self._later[due].append(_Owed("refund", payment, payment.amount // 3))
        elif share < _REFUNDED:
            self._later[due].append(_Owed("refund", payment, payment.amount))
        else:
            self._later[due].append(_Owed("dispute", payment, payment.amount))
            if self._random.random() * 4 < 1:
                self._later[due + _WON_AFTER].append(_Owed("won", payment, payment.amount))

    def _give_back(self, owed: _Owed, day: int) -> Iterator[Entry]:
        payment, at = owed.payment, self._plan.start + day * DAY + DAY // 2
        names = (payment.charge, payment.payment_intent, owed.amount, payment.currency)
        tail = payment.charge.removeprefix("ch_")
        if owed.kind == "refund":
            yield Refund(f"re_{tail}", *names, at)
            self._book(day + 1, self._returned(payment, "refund", f"re_{tail}", -owed.amount, day))
        elif owed.kind == "dispute":
            yield Dispute(f"du_{tail}", *names, "fraudulent", at)
            self._book(day + 1, self._returned(payment, "dispute", f"du_{tail}", -owed.amount, day))
        else:
            line = self._returned(payment, "dispute_reversal", f"du_{tail}", owed.amount, day)
            self._book(day + 1, line)

    def _returned(
        self, payment: Payment, category: str, source: str, amount: int, day: int
    ) -> Line:
        gross, currency = _settled(amount, payment.currency)
        at = self._plan.start + day * DAY + DAY // 2
        return Line(
            transaction=self._new_id("txn"),
            category=category,
            gross=gross,
            fee=_DISPUTE_FEE if category == "dispute" else 0,
            currency=currency,
            created_at=at,
            available_on=at,
            description=f"{category.upper().replace('_', ' ')} FOR CHARGE",
            source=source,
            charge=payment.charge,
            payment_intent=payment.payment_intent,
            charged_at=payment.captured_at,
            customer_amount=amount,
            customer_currency=payment.currency,
            attempt=payment.attempt,
            marked=True,
            dispute_reason="" if category == "refund" else "fraudulent",
        )

    def _go_wrong(self, kind: str, payment: Payment, line: Line, day: int) -> Iterator[Entry]:
        """A payment with a discrepancy; where it is found is known when its line is paid out."""
        funds, label = day + _FUNDS_DAYS, self._label
        match kind:
            case "missing_at_provider":
                yield payment
                yield label(kind, "no line anywhere", payment, expected=line.gross)
                return
            case "missing_internally":
                detail = "a line of an unknown attempt"
                self._await(label(kind, detail, payment, found=line.gross), line)
            case "status_mismatch":
                yield payment._replace(status="failed", amount_captured=0)
                self._await(label(kind, "failed here, captured there", payment), line)
            case "duplicate_at_provider":
                yield payment
                twin = line._replace(transaction=self._new_id("txn"))
                self._await(label(kind, "the charge is paid out twice", payment), twin)
                self._book(funds, line)
                line = twin
            case "late":
                yield payment
                self._await(label(kind, f"{LATE_DAYS} days after its payout", payment), line)
                funds += LATE_DAYS
            case "refund_mismatch" | "unexpected_chargeback":
                yield payment
                yield from self._return_wrongly(kind, payment, day)
            case _:
                yield payment
                line = self._changed(kind, payment, line)
        self._book(funds, line)

    def _changed(self, kind: str, payment: Payment, line: Line) -> Line:
        """The line with another amount, currency or fee than it should have."""
        if kind == "currency_mismatch":
            self._await(self._label(kind, "the customer paid cad", payment), line)
            return line._replace(customer_currency="cad")
        if kind == "fee_mismatch":
            wrong = line._replace(fee=line.fee + 25)
            expected, found = line.fee, wrong.fee
        else:
            assert kind == "amount_mismatch", "every other kind has its own way"
            expected, found = line.gross, line.gross - 5
            fee = fee_on(found, line.currency)
            wrong = line._replace(gross=found, fee=fee, customer_amount=payment.amount - 5)
        detail = f"the line has another {kind.partition('_')[0]}"
        self._await(self._label(kind, detail, payment, expected=expected, found=found), line)
        return wrong

    def _return_wrongly(self, kind: str, payment: Payment, day: int) -> Iterator[Entry]:
        """Money that goes back, and is not as the merchant recorded it."""
        tail = payment.charge.removeprefix("ch_")
        returned = day + _FUNDS_DAYS
        if kind == "unexpected_chargeback":
            line = self._returned(payment, "dispute", f"du_{tail}", -payment.amount, returned)
            self._await(
                self._label(kind, "no dispute is recorded", payment, found=line.gross), line
            )
        elif self._random.random() * 2 < 1:
            line = self._returned(payment, "refund", f"re_{tail}", -payment.amount // 2, returned)
            self._await(
                self._label(kind, "unlinked: no such refund", payment, found=line.gross), line
            )
        else:
            line = self._returned(payment, "refund", f"re_{tail}", -payment.amount - 100, returned)
            expected = _settled(-payment.amount, payment.currency)[0]
            detail = "over: more than was captured"
            self._await(
                self._label(kind, detail, payment, expected=expected, found=line.gross), line
            )
            names = (payment.charge, payment.payment_intent, payment.amount, payment.currency)
            yield Refund(f"re_{tail}", *names, line.created_at)
        self._book(returned + 1, line)

    @staticmethod
    def _label(
        kind: str,
        detail: str,
        payment: Payment,
        *,
        expected: int | None = None,
        found: int | None = None,
    ) -> Discrepancy:
        return Discrepancy(
            kind,
            detail,
            charge=payment.charge,
            payment_intent=payment.payment_intent,
            expected=expected,
            found=found,
        )

    def _await(self, label: Discrepancy, line: Line) -> None:
        """The label is told with the payout that has the line."""
        self._labelled[line.transaction] = label._replace(
            transaction=line.transaction, currency=line.currency
        )

    def _provider_rows(self, day: int) -> None:
        """What the provider takes and holds back by itself, and adjustments that nobody knows."""
        if day % 30 == 0:
            self._alone(day, "fee", -2_000, "Radar for Fraud Teams")
            self._alone(day, "tax", -380, "VAT on fees")
            self._alone(day, "risk_reserved_funds", -20_000, "Reserve hold")
            self._alone(day + 25, "risk_reserved_funds", 20_000, "Reserve release")
        wanted, days = self._plan.wanted(ALONE), self._plan.days
        for _ in range(wanted * (day + 1) // days - wanted * day // days):
            line = self._alone(day, "lunar_fee", -100, "Adjustment for lunar settlement")
            label = Discrepancy(ALONE, "an unknown category", found=line.gross)
            self._await(label, line)

    def _alone(self, day: int, category: str, amount: int, description: str) -> Line:
        """A row without a source, in euros."""
        at = self._plan.start + day * DAY
        line = Line(self._new_id("txn"), category, amount, 0, "eur", at, at, description)
        self._book(day, line)
        return line

    def _book(self, day: int, line: Line) -> None:
        self._available[day].append(line)

    def _pay_out(self, day: int) -> Iterator[Entry]:
        by_currency: dict[str, list[Line]] = defaultdict(list)
        for line in self._available.pop(day, ()):
            by_currency[line.currency].append(line)
        for currency in sorted(by_currency):
            lines = by_currency[currency]
            amount = sum(line.gross - line.fee for line in lines)
            if amount == 0:  # there is nothing to pay: they wait
                self._available[day + 1] += lines
                continue
            yield from self._paid_out(day, currency, amount, lines)

    def _paid_out(self, day: int, currency: str, amount: int, lines: list[Line]) -> Iterator[Entry]:
        self._payouts += 1
        at = self._plan.start + day * DAY
        payout = Payout(
            id=f"po_1{self._tag}{self._payouts:010d}",
            amount=amount,
            currency=currency,
            status="paid",
            created_at=at,
            arrival_date=at + DAY,
            lines=lines,
        )
        wrong = self._wrong_payout()
        label = Discrepancy(wrong or "", "", payout.id, currency=currency)
        if wrong == "payout_total_mismatch":
            payout = payout._replace(amount=amount + 7)
            detail = "not the sum of its lines"
            yield label._replace(detail=detail, expected=amount, found=amount + 7)
        elif wrong == "payout_failed":
            payout = payout._replace(status="failed")
            yield label._replace(detail="it came back", found=amount)
            returned = day + _RETURNED_AFTER
            come = self._plan.start + returned * DAY
            back = Line(
                self._new_id("txn"),
                "payout_reversal",
                amount,
                0,
                currency,
                come,
                come,
                "STRIPE PAYOUT FAILURE",
                payout.id,
            )
            self._book(returned, back)
        for line in lines:
            found = self._labelled.pop(line.transaction, None)
            if found is not None:
                yield found._replace(payout=payout.id)
        yield payout

    def _wrong_payout(self) -> str | None:
        """Every second payout is wrong in turn, until as many are as were wanted."""
        kinds = ("payout_total_mismatch", "payout_failed")
        kind = kinds[self._payouts // 2 % 2]
        if self._payouts % 2 or not self._left[kind]:
            return None
        self._left[kind] -= 1
        return kind

    def _new_id(self, prefix: str) -> str:
        self._rows += 1
        return f"{prefix}_3{self._tag}{self._rows:010d}"

"""Books made from a seed: records of ours, the lines that a provider has for them, and what is
wrong on purpose, with its name.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from paygate.domain.disputes.outcome import MoneyRow, RowKind
from paygate.domain.settlements.discrepancy import DiscrepancyKind, Found
from paygate.domain.settlements.fact import Fact, Known
from paygate.domain.settlements.judge import Terms, judge
from paygate.domain.settlements.line import FactKind, SettlementLine
from paygate.domain.settlements.match import match_page
from paygate.domain.settlements.outcome import Line, LineCategory

K, C = DiscrepancyKind, LineCategory
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ACCOUNT, INSTALLATION = "default", "inst_ours"
RATES = {("usd", "eur"): ("0.912345", 912345), ("jpy", "eur"): ("0.006123", 6123)}
TERMS = Terms(date(2026, 3, 20), 3)
Label = tuple[DiscrepancyKind, str]


def id_of(reference: str) -> str:
    """A line's id, as plain as can be."""
    return f"sl_{reference}"


def line(reference: str, category: LineCategory, gross: int, **changes: object) -> Line:
    """A line in euro without a fee; its net follows."""
    made = Line(
        provider_reference=reference,
        category=category,
        provider_category=str(category),
        gross=gross,
        fee=0,
        net=0,
        currency="eur",
        available_on=(AT + timedelta(days=2)).date(),
        created_at=AT,
    )
    made = replace(made, **changes)
    return replace(made, net=made.gross - made.fee)


def payment(name: str, amount: int, **changes: object) -> Fact:
    """A payment of ours that the provider knows as `pi_NAME`."""
    made = Fact(
        kind=FactKind.PAYMENT,
        id=f"our_pi_{name}",
        merchant="shop",
        payment_intent=f"our_pi_{name}",
        amount=amount,
        currency="eur",
        settles=amount > 0,
        provider_reference=f"pi_{name}",
        changed_at=AT,
    )
    return replace(made, **changes)


def refund(name: str, of: Fact, amount: int, **changes: object) -> Fact:
    """A refund of ours that the provider knows as `re_NAME`."""
    made = replace(
        of,
        kind=FactKind.REFUND,
        id=f"our_re_{name}",
        amount=amount,
        settles=True,
        provider_reference=f"re_{name}",
    )
    return replace(made, **changes)


def dispute(name: str, of: Fact, *rows: MoneyRow) -> Fact:
    """A dispute of ours that the provider knows as `du_NAME`."""
    return replace(
        of,
        kind=FactKind.DISPUTE,
        id=f"our_dp_{name}",
        settles=bool(rows),
        provider_reference=f"du_{name}",
        rows=rows,
    )


def row(reference: str, amount: int, fee: int = 0, currency: str = "eur") -> MoneyRow:
    """A row that a dispute has booked."""
    kind = RowKind.WITHDRAWN if amount < 0 else RowKind.REINSTATED
    return MoneyRow(
        provider_reference=reference, kind=kind, amount=amount, fee=fee, currency=currency
    )


class World(NamedTuple):
    """Our facts, the provider's lines, and what is wrong between them."""

    facts: list[Fact]
    lines: list[Line]
    labels: set[Label]

    def known(self, lines_of: dict[str, set[str]] | None = None) -> Known:
        """All our facts, as a page is matched against them."""
        by_kind: dict[FactKind, dict[str, Fact]] = {kind: {} for kind in FactKind}
        for fact in self.facts:
            assert fact.provider_reference is not None
            by_kind[fact.kind][fact.provider_reference] = fact
        return Known(
            account=ACCOUNT,
            installation=INSTALLATION,
            payments=by_kind[FactKind.PAYMENT],
            refunds=by_kind[FactKind.REFUND],
            disputes=by_kind[FactKind.DISPUTE],
            lines_of=lines_of or {},
        )


def read(
    world: World, pages: Sequence[Sequence[Line]], terms: Terms = TERMS
) -> list[SettlementLine]:
    """All lines, read page by page, each page knowing of the lines that were stored before it."""
    stored: dict[str, set[str]] = {}
    done: list[SettlementLine] = []
    for page in pages:
        matched = match_page(page, world.known(stored), terms, id_of)
        for each in matched:
            if each.fact is not None:
                stored.setdefault(each.fact, set()).add(each.id)
        done += matched
    return done


def judged(world: World, lines: Sequence[SettlementLine], terms: Terms = TERMS) -> list[Found]:
    """What a settlement's conclusion finds: the suspects' facts, each with all of its lines."""
    facts = {fact.id: fact for fact in world.facts}
    suspects = {each.fact for each in lines if each.suspect and each.fact is not None}
    found = judge(None, [each for each in lines if each.suspect and each.fact is None], terms)
    for fact_id in suspects:
        found += judge(facts[fact_id], [each for each in lines if each.fact == fact_id], terms)
    return found


def labels_of(found: Sequence[Found]) -> set[Label]:
    """The kind of each finding, and what it is about."""
    labels = {(each.kind, each.about) for each in found}
    assert len(labels) == len(found), "each is found once"
    return labels


def make(seed: int, payments: int, *, share_wrong: float) -> World:
    """Books of so many payments and all that follows from them."""
    return _Maker(Random(seed), share_wrong).make(payments)


class _Maker:
    def __init__(self, random: Random, share_wrong: float) -> None:
        self._random = random
        self._share_wrong = share_wrong
        self._world = World([], [], set())
        self._count = 0

    def make(self, payments: int) -> World:
        for number in range(payments):
            self._payment(f"{number}")
        for category in (C.FEE, C.TAX, C.RESERVE, C.ADVANCE, C.TOPUP, C.ADJUSTMENT, C.TRANSFER):
            self._line(category, self._random.randint(-500, 500) or 1)
        return self._world

    def _payment(self, name: str) -> None:
        currency = self._random.choice(["eur", "eur", "eur", "usd", "jpy"])
        amount = self._random.randint(50, 99_999)
        fact = payment(name, amount, currency=currency, merchant=self._random.choice("ab"))
        self._world.facts.append(fact)
        ids = {"payment_reference": f"pi_{name}", "source_reference": f"ch_{name}"}
        held = amount + self._random.randint(1, 500) if self._random.random() < 0.2 else amount
        mine = [self._moved(C.CHARGE, held, currency, fee=self._random.randint(0, 90), **ids)]
        if held != amount:
            mine.append(self._moved(C.PARTIAL_CAPTURE_REVERSAL, amount - held, currency, **ids))
        if self._random.random() < self._share_wrong:
            self._wrong(fact, mine)
        elif self._random.random() < 0.3:
            self._refund(name, fact)
        elif self._random.random() < 0.2:
            self._dispute(name, fact)
        if self._random.random() < 0.1:
            self._line(C.CHARGE, amount, payment_reference=f"pi_other_{name}")

    def _wrong(self, fact: Fact, mine: list[Line]) -> None:
        self._random.choice(
            [
                self._amount,
                self._currency,
                self._status,
                self._duplicate,
                self._nobody,
                self._unlinked,
                self._chargeback,
                self._unknown,
            ]
        )(fact, mine)

    def _amount(self, fact: Fact, mine: list[Line]) -> None:
        first = mine[0]
        # Beyond what a rate of six digits may leave in doubt.
        off = self._random.choice([-7, 7]) if first.customer_currency is None else 2000
        self._world.lines.remove(first)
        self._world.lines.append(line_like(first, gross=first.gross + off))
        self._label(K.AMOUNT_MISMATCH, first)

    def _currency(self, fact: Fact, mine: list[Line]) -> None:
        for each in mine:
            self._world.lines.remove(each)
            told = {"customer_currency": "chf", "customer_amount": each.gross + 3}
            self._world.lines.append(line_like(each, **told))
            self._label(K.CURRENCY_MISMATCH, each)

    def _status(self, fact: Fact, mine: list[Line]) -> None:
        self._world.facts.remove(fact)
        self._world.facts.append(replace(fact, amount=0, settles=False))
        self._label(K.STATUS_MISMATCH, mine[0])

    def _duplicate(self, fact: Fact, mine: list[Line]) -> None:
        twin = replace(mine[0], provider_reference=self._name(), created_at=AT + timedelta(hours=1))
        self._world.lines.append(twin)
        self._label(K.DUPLICATE_AT_PROVIDER, twin)

    def _nobody(self, fact: Fact, mine: list[Line]) -> None:
        marks = {"installation": INSTALLATION, "payment_reference": f"pi_ghost_{fact.id}"}
        self._label(K.MISSING_INTERNALLY, self._line(C.CHARGE, fact.amount, **marks))

    def _unlinked(self, fact: Fact, mine: list[Line]) -> None:
        ids = {"payment_reference": fact.provider_reference, "source_reference": "re_ghost"}
        self._label(K.REFUND_MISMATCH, self._line(C.REFUND, -3, **ids))

    def _chargeback(self, fact: Fact, mine: list[Line]) -> None:
        ids = {"payment_reference": fact.provider_reference, "source_reference": "du_ghost"}
        self._label(K.UNEXPECTED_CHARGEBACK, self._line(C.DISPUTE, -fact.amount, fee=1500, **ids))

    def _unknown(self, fact: Fact, mine: list[Line]) -> None:
        self._label(K.UNEXPECTED_ADJUSTMENT, self._line(C.UNKNOWN, -100))

    def _refund(self, name: str, fact: Fact) -> None:
        amount = self._random.randint(1, fact.amount)
        ids = {"payment_reference": f"pi_{name}", "source_reference": f"re_{name}"}
        failed = self._random.random() < 0.3
        of = refund(name, fact, amount, settles=not failed, returned=failed)
        self._world.facts.append(of)
        self._moved(C.REFUND, -amount, fact.currency, fee=self._random.choice([0, -29]), **ids)
        if failed:
            self._moved(C.REFUND_FAILURE, amount, fact.currency, **ids)

    def _dispute(self, name: str, fact: Fact) -> None:
        ids = {"payment_reference": f"pi_{name}", "source_reference": f"du_{name}"}
        out = self._moved(C.DISPUTE, -fact.amount, fact.currency, fee=1500, **ids)
        countered = self._line(C.FEE, -1500, **ids)
        rows = [
            row(out.provider_reference, out.gross, 1500),
            row(countered.provider_reference, 0, 1500),
        ]
        if self._random.random() < 0.5:
            back = self._moved(C.DISPUTE_REVERSAL, fact.amount, fact.currency, **ids)
            rows.append(row(back.provider_reference, back.gross))
        self._world.facts.append(dispute(name, fact, *rows))

    def _moved(self, category: LineCategory, amount: int, currency: str, **changes: object) -> Line:
        """A line in euro for money that the payer moved in their own currency."""
        if currency == "eur":
            return self._line(category, amount, **changes)
        told, millionths = RATES[currency, "eur"]
        digits = 2 if currency == "jpy" else 0
        gross = round(amount * millionths * 10**digits / 1_000_000)
        told_too = {"customer_amount": amount, "customer_currency": currency, "exchange_rate": told}
        return self._line(category, gross, **told_too, **changes)

    def _line(self, category: LineCategory, gross: int, **changes: object) -> Line:
        made = line(self._name(), category, gross, **changes)
        self._world.lines.append(made)
        return made

    def _name(self) -> str:
        self._count += 1
        return f"txn_{self._count:06}"

    def _label(self, kind: DiscrepancyKind, of: Line) -> None:
        self._world.labels.add((kind, of.provider_reference))


def line_like(of: Line, **changes: object) -> Line:
    """The same line with something changed; its net follows."""
    made = replace(of, **changes)
    return replace(made, net=made.gross - made.fee)


def cut(lines: Sequence[Line], random: Random) -> Iterator[Sequence[Line]]:
    """The same lines in another order, in pages of any size."""
    shuffled = list(lines)
    random.shuffle(shuffled)
    at = 0
    while at < len(shuffled):
        size = random.randint(1, 40)
        yield shuffled[at : at + size]
        at += size

"""Payouts whose lines are wrong by order: what a test then wants found.

Each kind of tampering changes one line of a charge. It must never touch the charge itself, but that
one without a line names none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.control.orders import OrderError, Tamper
from paygate_sandbox.resources.balance.fees import fee_on
from paygate_sandbox.resources.balance.rows import Movement, book, record_dispute, record_refund
from paygate_sandbox.resources.disputes import case
from paygate_sandbox.store.objects import Filing, JsonObject, Record, Window

_OFF_BY: Final = -5
_UNKNOWN: Final = "lunar_fee"
_UNKNOWN_AMOUNT: Final = -100
_OTHERS: Final = 10
"""So many charges say what marks all of them."""
_LOOKED_AT: Final = 100
"""Of so many newest charges one was declined, or none is taken to be."""


@dataclass(frozen=True, slots=True)
class Tampered:
    """What was done to a payout: by how much its lines' sum changed, and its amount beside that;
    the row that is left for later; and the facts for who ordered it.
    """

    lines: int
    said: JsonObject
    total: int = 0
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Victim:
    """A balance transaction and the charge that it is of; `off_by` and `metadata` as ordered."""

    row: Record
    charge: Record
    off_by: int | None
    metadata: dict[str, str] | None

    def said(self, transaction: str | None = None, **more: object) -> JsonObject:
        mine = {"transaction": transaction or self.row.id, "charge": self.charge.id}
        return {**mine, "payment_intent": self.charge.body["payment_intent"], **more}


def tamper(books: Books, kind: Tamper, victim: Victim) -> Tampered:
    """Raises OrderError."""
    return _KINDS[kind](books, victim)


def _wrong_amount(books: Books, victim: Victim) -> Tampered:
    """The line has another amount than the charge; the payout sums all the same."""
    off_by = _OFF_BY if victim.off_by is None else victim.off_by
    was: int = victim.row.body["amount"]
    if was + off_by <= 0:
        raise OrderError("that leaves nothing of the line: give a smaller `by`")
    return _change(books, victim, {"amount": was + off_by}, expected=was)


def _wrong_fee(books: Books, victim: Victim) -> Tampered:
    """The line has another fee than the charge's method costs; the payout sums all the same."""
    was: int = victim.row.body["fee"]
    fee = was - (_OFF_BY if victim.off_by is None else victim.off_by)
    if fee < 0 or not victim.row.body["fee_details"]:
        raise OrderError("that leaves no fee on the line: give a smaller `by`")
    victim.row.body["fee_details"][0]["amount"] = fee
    return _change(books, victim, {"fee": fee}, expected=was)


def _change(books: Books, victim: Victim, changes: JsonObject, *, expected: int) -> Tampered:
    body = victim.row.body
    before: int = body["net"]
    body.update(changes)
    net: int = body["amount"] - body["fee"]
    body["net"] = net
    books.update(victim.row)
    books.pay_out(lambda rows: rows.change(victim.row.id, net))
    (found,) = changes.values()
    return Tampered(net - before, victim.said(expected=expected, found=found))


def _missing_line(books: Books, victim: Victim) -> Tampered:
    """No payout ever has the line, nor its money, which stays on the balance."""
    books.pay_out(lambda rows: rows.withhold(victim.row.id))
    return Tampered(-victim.row.body["net"], victim.said())


def _late_line(_books: Books, victim: Victim) -> Tampered:
    """The line and its money are left for the next payout."""
    return Tampered(-victim.row.body["net"], victim.said(), left_out=victim.row.id)


def _duplicate_line(books: Books, victim: Victim) -> Tampered:
    """The charge's money comes twice, in two rows."""
    body = victim.row.body
    twin = _twin(books, victim, body["source"])
    return Tampered(twin["net"], victim.said(twin["id"], twin_of=victim.row.id))


def _extra_line(books: Books, victim: Victim) -> Tampered:
    """A charge like the other, with our marks, that nobody but the provider knows."""
    marks = _marks(books, victim)
    intent = books.find("payment_intent", victim.charge.body["payment_intent"])
    assert intent is not None, "a charge has its intent"
    charge_id, intent_id = books.new_id("ch"), books.new_id("pi")
    twin = _twin(books, victim, charge_id)
    charge = Record(
        {
            **victim.charge.body,
            "id": charge_id,
            "balance_transaction": twin["id"],
            "created": books.now,
            "metadata": marks,
            "payment_intent": intent_id,
        },
        {**victim.charge.private, "idempotency_key": None},
    )
    payment = Record(
        {
            **intent.body,
            "id": intent_id,
            "client_secret": f"{intent_id}_secret_{books.token(25)}",
            "created": books.now,
            "latest_charge": charge_id,
            "metadata": marks,
        },
        dict(intent.private),
    )
    books.insert(payment)
    books.insert(charge, Filing(related=intent_id))
    said = {"transaction": twin["id"], "charge": charge_id, "payment_intent": intent_id}
    return Tampered(twin["net"], said)


def _unknown_line(books: Books, victim: Victim) -> Tampered:
    """A row of a category that nobody has heard of."""
    row = book(
        books,
        Movement(
            type="adjustment",
            reporting_category=_UNKNOWN,
            amount=_UNKNOWN_AMOUNT if victim.off_by is None else victim.off_by,
            currency=victim.row.body["currency"],
            description="Adjustment for lunar settlement",
        ),
    )
    return Tampered(row["net"], {"transaction": row["id"], "charge": None, "payment_intent": None})


def _unbooked_charge(books: Books, victim: Victim) -> Tampered:
    """The balance never had the line: neither a payout nor the charge has it."""
    books.delete(victim.row.id)
    books.pay_out(lambda rows: rows.remove(victim.row.id))
    victim.charge.body["balance_transaction"] = None
    books.update(victim.charge)
    return Tampered(-victim.row.body["net"], victim.said())


def _wrong_currency(books: Books, victim: Victim) -> Tampered:
    """The line is of a charge of the same payment in another currency, converted at 1."""
    body, charge_id = victim.charge.body, books.new_id("ch")
    currency = "eur" if body["currency"] == "usd" else "usd"
    twin = {**body, "id": charge_id, "created": books.now, "currency": currency}
    unnamed = {**victim.charge.private, "idempotency_key": None}
    books.insert(Record(twin, unnamed), Filing(related=body["payment_intent"]))
    victim.row.body.update({"source": charge_id, "exchange_rate": 1.0})
    books.update(victim.row)
    return Tampered(0, victim.said(source=charge_id, expected=body["currency"], found=currency))


def _declined_line(books: Books, victim: Victim) -> Tampered:
    """The newest charge that was declined has brought its money all the same."""
    currency = victim.row.body["currency"]
    for charge in books.objects.page("charge", Window(_LOOKED_AT), {}):
        if charge.body["status"] == "failed" and charge.body["currency"] == currency:
            amount: int = charge.body["amount"]
            row = _twin(books, victim, charge.id, amount)
            return Tampered(
                row["net"],
                {
                    "transaction": row["id"],
                    "charge": charge.id,
                    "payment_intent": charge.body["payment_intent"],
                },
            )
    raise OrderError("no charge was declined lately in the currency of the payout")


def _extra_refund(books: Books, victim: Victim) -> Tampered:
    """A refund that no event told of, nor the charge."""
    charge = victim.charge.body
    refund_id, amount = books.new_id("re"), _moved(victim)
    refund: JsonObject = {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": record_refund(books, charge, refund_id, -amount),
        "charge": charge["id"],
        "created": books.now,
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    private = {"idempotency_key": None, "end": None}
    books.insert(Record(refund, private), Filing(related=charge["id"]))
    return Tampered(-amount, victim.said(refund["balance_transaction"], refund=refund_id))


def _extra_chargeback(books: Books, victim: Victim) -> Tampered:
    """A dispute that no event told of, nor the charge."""
    charge, amount = victim.charge.body, _moved(victim)
    terms = case.Terms(
        kind="chargeback",
        reason="fraudulent",
        amount=amount,
        currency=charge["currency"],
        settled=amount,
        due_by=case.due_by(books.now),
    )
    dispute = case.body_of(books.new_id("du"), charge, terms, books.now)
    row = record_dispute(books, charge, dispute["id"], -amount, case.RECEIVED_FEE)
    dispute["balance_transactions"].append(row)
    private = {"settled": amount, "countered_fee": 0}
    books.insert(Record(dispute, private), Filing(related=charge["id"]))
    return Tampered(row["net"], victim.said(row["id"], dispute=dispute["id"]))


def _moved(victim: Victim) -> int:
    """What goes back of a charge: all that it took, or as much as was ordered."""
    taken: int = victim.charge.body["amount_captured"]
    amount = taken if victim.off_by is None else -victim.off_by
    if not 0 < amount <= taken:
        raise OrderError("give a `by` below 0 that the charge has taken")
    return amount


def _wrong_total(_books: Books, victim: Victim) -> Tampered:
    """The payout's amount is not the sum of its lines."""
    off_by = _OFF_BY if victim.off_by is None else victim.off_by
    nothing = {"transaction": None, "charge": None, "payment_intent": None}
    return Tampered(0, {**nothing, "off_by": off_by}, total=off_by)


def _twin(books: Books, victim: Victim, source: str, amount: int | None = None) -> JsonObject:
    """A row like the victim's; of an `amount`, with the fee that it costs."""
    body = victim.row.body
    fee: int = body["fee"] if amount is None else fee_on(amount, body["currency"])
    return book(
        books,
        Movement(
            type=body["type"],
            reporting_category=body["reporting_category"],
            amount=body["amount"] if amount is None else amount,
            currency=body["currency"],
            source=source,
            description=body["description"],
            fee=fee,
            rate=body["exchange_rate"],
        ),
    )


def _marks(books: Books, victim: Victim) -> dict[str, str]:
    """The metadata that every one of the newest charges has, or what was ordered."""
    if victim.metadata is not None:
        return victim.metadata
    mine: dict[str, str] = victim.charge.body["metadata"]
    others = [
        record.body["metadata"]
        for record in books.objects.page("charge", Window(_OTHERS), {})
        if record.id != victim.charge.id
    ]
    if mine and not others:
        raise OrderError("one charge alone does not tell what marks all: give `metadata`")
    return {
        name: value
        for name, value in mine.items()
        if all(other.get(name) == value for other in others)
    }


_KINDS: Final[Mapping[Tamper, Callable[[Books, Victim], Tampered]]] = {
    "wrong_amount": _wrong_amount,
    "missing_line": _missing_line,
    "extra_line": _extra_line,
    "late_line": _late_line,
    "duplicate_line": _duplicate_line,
    "unknown_line": _unknown_line,
    "wrong_fee": _wrong_fee,
    "wrong_total": _wrong_total,
    "unbooked_charge": _unbooked_charge,
    "wrong_currency": _wrong_currency,
    "declined_line": _declined_line,
    "extra_refund": _extra_refund,
    "extra_chargeback": _extra_chargeback,
}

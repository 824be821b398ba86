"""A provider whose books are a file, which outlives every process that dies at it."""

import os
import signal
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Card,
    Declined,
    NextAction,
    Outcome,
    PaymentError,
    PaymentMethod,
    RedirectToUrl,
    TransferInstructions,
)
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import PushTransfer, Tokened
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.providers.contract import (
    CancelOrder,
    CaptureOrder,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    RefundOrder,
)
from tests.flows.world import INSTALLATION, ScriptedProvider, answer

CARD: Final = Card("visa", "4242", 4, 2030)
AMOUNT: Final = 1999


class Steps:
    """Counts, and kills this process at the one that it was told."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.taken = 0

    def step(self) -> None:
        self.taken += 1
        if self.taken == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class Entry(NamedTuple):
    """A payment in the books: `captured`, `held`, `waiting`, `declined` or `cancelled`."""

    attempt: str
    intent: str
    state: str
    pushed: bool


class Books:
    """What the provider has: payments by the attempt's key, and customers by theirs."""

    def __init__(self, folder: Path) -> None:
        self._file = sqlite3.connect(folder / "books")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS payment"
            " (attempt TEXT PRIMARY KEY, intent TEXT, state TEXT, pushed INT)"
        )
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS refund (key TEXT PRIMARY KEY, payment TEXT, amount INT)"
        )
        self._file.execute("CREATE TABLE IF NOT EXISTS customer (key TEXT PRIMARY KEY, ours TEXT)")
        self._file.execute("CREATE TABLE IF NOT EXISTS acknowledged (event TEXT)")
        self._file.commit()

    def write(self, statement: str, *values: Any) -> None:
        self._file.execute(statement, values)
        self._file.commit()

    def of(self, intent: str) -> list[str]:
        """The states of an intent's payments."""
        query = "SELECT state FROM payment WHERE intent = ?"
        return [state for (state,) in self._file.execute(query, (intent,))]

    def acknowledged(self) -> list[str]:
        """The events whose delivery was answered."""
        return [event for (event,) in self._file.execute("SELECT event FROM acknowledged")]

    def customers(self, ours: str) -> int:
        """How many customers there are for one of ours."""
        query = "SELECT count(*) FROM customer WHERE ours = ?"
        return int(self._file.execute(query, (ours,)).fetchone()[0])

    def refunds(self, payment: str) -> list[int]:
        """What was given back of a payment, refund by refund."""
        query = "SELECT amount FROM refund WHERE payment = ?"
        return [amount for (amount,) in self._file.execute(query, (payment,))]

    def paid_by_the_payer(self, intent: str) -> None:
        """The payer has answered the challenge."""
        self.write("UPDATE payment SET state = 'captured' WHERE intent = ?", intent)

    def entry(self, attempt: str) -> Entry:
        query = "SELECT attempt, intent, state, pushed FROM payment WHERE attempt = ?"
        return Entry(*self._file.execute(query, (attempt,)).fetchone())


class FileProvider(ScriptedProvider):
    """Does once per key what it is asked; a step on either side of each effect."""

    def __init__(self, folder: Path, steps: Steps, *, first: str) -> None:
        super().__init__()
        self.steps = steps
        self.books = Books(folder)
        self.first = first
        """What a confirm is at first: `captured`, `declined` or `waiting`."""

    async def payment_method(
        self, instrument: Tokened, currency: Currency, *, timeout_seconds: float
    ) -> PaymentMethod:
        self.steps.step()
        return CARD

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        if self.during is not None:
            await self.during(order)
        held = order.capture_method is CaptureMethod.MANUAL
        pushed = isinstance(order.instrument, PushTransfer)
        assert bool(order.customer) is pushed, "a transfer goes to a customer's account"
        row = (order.attempt, order.intent, "held" if held else self.first, pushed)
        return self._done(
            "INSERT OR IGNORE INTO payment VALUES (?, ?, ?, ?)", *row, attempt=order.attempt
        )

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        attempt = order.provider_reference.removeprefix("theirs_")
        change = "UPDATE payment SET state = 'captured' WHERE attempt = ? AND state = 'held'"
        return self._done(change, attempt, attempt=attempt)

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        attempt = order.provider_reference.removeprefix("theirs_")
        change = "UPDATE payment SET state = 'cancelled' WHERE attempt = ? AND state <> 'captured'"
        return self._done(change, attempt, attempt=attempt)

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        self.steps.step()
        row = (order.refund, order.payment_reference, order.amount)
        self.books.write("INSERT OR IGNORE INTO refund VALUES (?, ?, ?)", *row)
        self.steps.step()
        return RefundAnswer(
            Refunded(),
            provider_reference=f"theirs_{order.refund}",
            payment_reference=order.payment_reference,
            as_of=datetime.now(UTC),
            amount=order.amount,
            currency=order.currency,
            refund=order.refund,
            installation=INSTALLATION,
            merchant=order.merchant,
        )

    async def make_customer(self, order: CustomerOrder, *, timeout_seconds: float) -> CustomerMade:
        self.steps.step()
        self.books.write("INSERT OR IGNORE INTO customer VALUES (?, ?)", order.key, order.customer)
        self.steps.step()
        return CustomerMade(f"theirs_{order.customer}")

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer:
        self.steps.step()
        return self._answer(provider_reference.removeprefix("theirs_"))

    def _done(self, change: str, *values: Any, attempt: str) -> Answer:
        self.steps.step()
        self.books.write(change, *values)
        self.steps.step()
        return self._answer(attempt)

    def _answer(self, attempt: str) -> Answer:
        return answer(
            outcome_of(self.books.entry(attempt)),
            attempt=attempt,
            provider_reference=f"theirs_{attempt}",
            as_of=datetime.now(UTC),
            installation=INSTALLATION,
            merchant="default",
        )


def outcome_of(entry: Entry) -> Outcome:
    """What the provider says of a payment."""
    match entry.state:
        case "captured":
            return Approved(True, AMOUNT, 0, CARD)
        case "held":
            return Approved(False, 0, AMOUNT, CARD)
        case "declined":
            return Declined(PaymentError("card_declined", "no"))
        case "cancelled":
            return Cancelled()
    action: NextAction = RedirectToUrl("https://bank.example/challenge")
    if entry.pushed:
        action = TransferInstructions(AMOUNT, 0, "eur", "X7K", "https://bank.example/pay", ())
    return ActionRequired(action)

"""The one port to a payment provider. Flows know this file, those beside it and the domain, nothing
beyond.

No provider's type, id format or exception passes through here. Implementations return
outcomes and raise only for bugs; anything that may have reached the provider and was not
answered clearly is `Unknown`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from paygate.domain.disputes.outcome import DisputeAnswer, FileOutcome, FraudWarning
from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Answer, NotSent, PaymentMethod, Rejected, Unknown
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import Instrument, Tokened
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.domain.refunds.refund import RefundReason
from paygate.providers.absence import Absent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder
from paygate.providers.payouts import Payouts


class ConfirmOrder(msgspec.Struct, frozen=True, kw_only=True):
    """All that a confirm sends. Built from the attempt's row alone, so that a re-send is equal.

    The provider's idempotency key is `attempt`. Amounts in ISO smallest units: what the
    provider counts in is the adapter's business.
    """

    attempt: str
    intent: str
    merchant: str
    amount: int
    currency: Currency
    capture_method: CaptureMethod
    instrument: Instrument
    customer: str | None = None
    """The provider's own id of the payer, which a push transfer needs."""
    return_url: str | None = None
    description: str | None = None
    statement_descriptor: str | None = None


class CaptureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Take `amount` of a held payment; the rest is released. The idempotency key is `attempt`."""

    attempt: str
    provider_reference: str
    amount: int
    currency: Currency


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Close a payment that has taken no money: a hold is released, a challenge ends."""

    key: str
    """The provider's idempotency key."""
    provider_reference: str


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Give `amount` of a payment back to its payer. The idempotency key is `refund`, our id."""

    refund: str
    merchant: str
    payment_reference: str
    amount: int
    currency: Currency
    reason: RefundReason | None = None


class CustomerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Make the payer known to the provider."""

    key: str
    """The provider's idempotency key."""
    customer: str
    """Our id of the payer, or of the intent of one whom the merchant did not name."""
    merchant: str
    email: str | None = None
    name: str | None = None


class CustomerMade(msgspec.Struct, frozen=True):
    """The provider's id of the payer."""

    provider_reference: str


class KeySpent(msgspec.Struct, frozen=True):
    """The idempotency key is good for nothing more: the provider remembers a fault of its own
    under it, or another order.
    """

    message: str


class ClockSkew(msgspec.Struct, frozen=True):
    """How far the provider's clock is `ahead` of ours, give or take `within`."""

    ahead: timedelta
    within: timedelta


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A provider event, as its delivery says it.

    `created_at` is None when an event of a kind that tells us nothing does not say it.
    `answer` is what its object says of a payment, or None when the event is of another kind;
    `exact` is false when it must be fetched instead (rendered at another API version).
    `money_left_with` is the provider's customer on whose account money has come to lie that pays
    for nothing.
    """

    provider_reference: str
    type: str
    created_at: datetime | None
    livemode: bool
    answer: Answer | None = None
    exact: bool = True
    money_left_with: str | None = None
    refund: RefundAnswer | None = None
    """What its object says of a refund."""
    dispute: DisputeAnswer | None = None
    """What its object says of a dispute. Look at it before `answer`, which says no more than whose
    payment it is about. It is not `exact` where the object does not name its payment.
    """
    fraud_warning: FraudWarning | None = None
    """What its object says of an early fraud warning, which is looked up before anybody is advised.
    As with a dispute, look at it before `answer`.
    """
    payout: str | None = None
    """The provider's id of the payout that it tells of. How the payout stands is looked up: such
    events come in any order, and some news comes with none.
    """
    of_a_part: bool = False
    """The answer is of a part of the payment, a charge: by it is seen when nothing changes, and
    whatever does change is fetched.
    """
    handled: bool = True
    """False: it tells of money or a state that nothing here acts upon. `answer` then says no more
    than whose payment it is about; without one it is about the account itself.
    """
    of_another_account: bool = False
    """It is about an account that is connected to ours."""


class MoneyLeft(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on the account of a provider's customer and pays for nothing: smallest units by
    currency. Whose it is, as the provider's metadata bear it.
    """

    amounts: Mapping[str, int]
    customer: str | None
    merchant: str | None
    installation: str | None


class MaskedBody(NamedTuple):
    """An event's bytes without card numbers, and how many of its texts held some."""

    body: bytes
    texts: int


class SignatureError(Exception):
    """The event is not proven to come from the provider. The reason never quotes it."""


class CallWatch(Protocol):
    """Told of every call that goes to the provider, each try by itself."""

    def called(self) -> None:
        """A call is being made."""

    def limited(self) -> None:
        """The provider refused one because there were too many."""


class Provider(Payouts, Protocol):
    """A payment provider's account, in one mode."""

    name: str
    livemode: bool
    keys_kept: timedelta
    """How long it knows an idempotency key again, at the least."""

    @property
    def skew(self) -> ClockSkew | None:
        """The provider's clock against ours as of now, by its answers of the last hour; None when
        they do not tell.
        """

    def representable(self, amount: int, currency: Currency) -> bool:
        """Whether the provider can charge exactly this amount of smallest units."""

    def transfer_problem(self, currency: Currency, country: str | None) -> str | None:
        """Why a push transfer cannot be paid so, in a sentence; None when it can.

        `country` says where the account shall be, where a currency has several.
        """

    def debit_problem(self, currency: Currency) -> str | None:
        """Why a bank account cannot be debited in a currency, in a sentence; None when it can."""

    async def payment_method(
        self, instrument: Tokened, currency: Currency, *, timeout_seconds: float
    ) -> PaymentMethod | Rejected | NotSent | Unknown:
        """What may be shown of the method behind a token; nothing is changed there by the call.

        `Rejected` when there is none for our account, or none that a confirm in this currency could
        be paid with so; also when our key is refused. That the method may be used once more, and
        that its bank says yes, a confirm alone can tell.
        """

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        """Create and confirm the payment, once per attempt however often it is called.

        The order must be `representable`, without a `transfer_problem` or `debit_problem`; a push
        transfer needs its `customer`, and only a card's money can be held.
        """

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        """Take the money of a held payment, once per attempt. The amount must be `representable`.

        `Approved` with what was taken, also when it was before; `Cancelled` when the hold is gone;
        `Pending` while it is taken; `Rejected` when it cannot be done as asked and this attempt
        took nothing; `Unknown` also that there is no such payment.
        """

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        """Close the payment; whatever stands in the way, the answer is how the payment stands.

        `Cancelled` once it is closed, also when it was before; `Approved` when the money is taken.
        `Rejected` says that our key is refused, `Unknown` also that there is no such payment.
        """

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        """Give money back, once per refund however often it is called. The amount must be
        `representable`.

        `Refunded`, `RefundPending` or `RefundFailed` as the refund now stands; `RefundRejected`
        when none was made for this call and none will be, with `provider_configuration` when our
        key is refused, which tells nothing of an earlier call.
        """

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        """The refund as it stands now; `Unknown` when the provider did not tell."""

    def list_refunds(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        """Every refund of a payment, newest first, whoever made it.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_refunds_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        """Every refund made at the provider in [since, until], newest first, ours or not.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    async def retrieve_dispute(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> DisputeAnswer | Absent:
        """The dispute as it stands now, with our mark; `Unknown` when the provider did not tell."""

    def list_disputes(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        """Every dispute of a payment, newest first, with our mark.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_disputes_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        """Every dispute made at the provider in [since, until], newest first, ours or not.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    async def upload_file(self, order: UploadOrder, *, timeout_seconds: float) -> FileOutcome:
        """Give the provider a file as evidence, once per key while it keeps keys.

        `DisputeRejected` says that it does not take the file (`FILE_REFUSED`), or our key.
        """

    async def submit_evidence(
        self, order: EvidenceOrder, *, timeout_seconds: float
    ) -> DisputeAnswer:
        """Submit evidence, unless the submission count is not the expected one: it is read first.

        `Disputed` as the dispute now stands, whose count tells that it took place;
        `DisputeRejected` when this call submitted nothing. After `Unknown` the count of a look-up
        tells; to send the order again is harmless, and ends as `ALREADY_SUBMITTED` if the first
        call had come through.
        """

    async def accept_dispute(self, order: AcceptOrder, *, timeout_seconds: float) -> DisputeAnswer:
        """Give the dispute up. `Disputed` as it now stands, which need not be lost yet;
        `DisputeRejected` (`DISPUTE_CLOSED`) when it was decided before, and how.
        """

    async def retrieve_fraud_warning(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> FraudWarning | Absent | Unknown:
        """The warning as it stands now, and its charge: whether a refund still helps."""

    async def make_customer(
        self, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | NotSent | Rejected | Unknown:
        """The provider's customer for one of ours, the same however often it is called while the
        provider keeps the key (`keys_kept`). A second call with another email or name is
        `KeySpent`.
        """

    async def change_customer(
        self, provider_reference: str, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | Absent | NotSent | Rejected | Unknown:
        """Bring the provider's customer to the email and name of the order, under its key; what
        the order leaves out stays. `Absent` when the provider has no such customer any more.
        """

    async def money_left(
        self, customer_reference: str, *, timeout_seconds: float
    ) -> MoneyLeft | Absent | Unknown:
        """What lies on a customer's account just now."""

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        """The payment as it stands now; `Unknown` when the provider did not tell."""

    def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        """Every payment made at the provider in [since, until], newest first, ours or not.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_events(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[bytes]:
        """Every event made at the provider in [since, until] that may tell us something, newest
        first, each as `read_event` takes it. The provider may keep no more than the last 30 days.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def verify_event(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        """Prove that the provider signed a delivery, whatever it says. Header names are lower-case.

        Raises:
            SignatureError: missing, malformed, wrong or out of time.
        """

    @property
    def acts_upon(self) -> Sequence[str]:
        """The types of events that `read_event` has as `handled`, of those that earlier versions
        may have kept without making anything of them.
        """

    def masked_event(self, body: bytes) -> MaskedBody:
        """A delivery that was verified, whatever it is, with the card numbers in its texts masked
        to their last four digits: the same bytes where it has none. Accounts to pay to stay.
        """

    def read_event(self, body: bytes) -> Notice:
        """Read a delivery that was verified; the same bytes are always read the same way.

        Raises:
            ValueError: it is not an event of this provider's shape, and nothing else is raised.
        """

    async def account(self, *, timeout_seconds: float) -> str | Rejected | Unknown:
        """The provider's id of the account that our key is of. `Rejected`: the key is refused, or
        must not read that.
        """

    async def close(self) -> None:
        """Release the connections."""

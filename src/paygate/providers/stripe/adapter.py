"""The port, implemented by Stripe: orders become calls, facts become answers.

`orders` says what is sent, `translate` and `api_errors` what came back, and `answers` whether that
is to be believed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from paygate.domain.disputes.outcome import DisputeAnswer, FileOutcome, FraudWarning
from paygate.domain.money import Currency
from paygate.domain.payments.confirmation import speaks_of_its_call_alone
from paygate.domain.payments.outcome import Answer, NotSent, PaymentMethod, Rejected, Unknown
from paygate.domain.payments.payment_method import Tokened
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.domain.settlements.report_import import ReportFormat
from paygate.domain.settlements.reports.layout import Layout
from paygate.providers.absence import Absent
from paygate.providers.contract import (
    CallWatch,
    CancelOrder,
    CaptureOrder,
    ClockSkew,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    KeySpent,
    MaskedBody,
    MoneyLeft,
    Notice,
    RefundOrder,
)
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder
from paygate.providers.stripe import (
    answers,
    api_errors,
    events,
    fields,
    files,
    instruments,
    itemized_report,
    lists,
    masking,
    money,
    orders,
    translate,
)
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.customers import StripeCustomers
from paygate.providers.stripe.disputes import StripeDisputes
from paygate.providers.stripe.event_lists import events_created
from paygate.providers.stripe.fraud_warnings import StripeFraudWarnings
from paygate.providers.stripe.payouts import StripePayouts
from paygate.providers.stripe.payouts_port import PayoutCalls
from paygate.providers.stripe.refunds import StripeRefunds
from paygate.providers.stripe.replies import is_missing, replied
from paygate.providers.stripe.settings import StripeSettings, check, livemode_of

_PAYMENTS: Final = "/v1/payment_intents"
_METHODS: Final = "/v1/payment_methods"
_ACCOUNT: Final = "/v1/account"
_NO_SUCH: Final = "the provider has no such payment"
_OK, _NOT_FOUND = 200, 404


def _utc_now() -> datetime:
    return datetime.now(UTC)


class StripeProvider(PayoutCalls):
    """A Stripe account (`Provider`). `clock` is the one that the provider's is held against, and
    `watch` is told of every call.
    """

    name = "stripe"
    keys_kept = timedelta(hours=24)  # docs.stripe.com/api/idempotent_requests

    def __init__(
        self,
        settings: StripeSettings,
        *,
        clock: Callable[[], datetime] = _utc_now,
        watch: CallWatch | None = None,
    ) -> None:
        self.livemode = livemode_of(settings.api_key)
        check(settings, livemode=self.livemode)
        self._settings = settings
        base = settings.api_base.rstrip("/")
        self._wire = StripeWire(base, settings.api_key, watch=watch)
        self._files_wire = StripeWire(files.base_of(base), settings.api_key, watch=watch)
        self._clock = clock
        self._customers = StripeCustomers(self._wire, settings.installation, livemode=self.livemode)
        self._refunds = StripeRefunds(self._wire, settings.installation)
        self._disputes = StripeDisputes(self._wire, livemode=self.livemode)
        self._files = files.StripeFiles(self._files_wire)
        self._payouts = StripePayouts(self._wire, livemode=self.livemode)
        self._warnings = StripeFraudWarnings(self._wire, livemode=self.livemode)

    def __repr__(self) -> str:
        return f"<StripeProvider livemode={self.livemode}>"

    @property
    def skew(self) -> ClockSkew | None:
        return self._wire.skew(self._clock())

    def representable(self, amount: int, currency: Currency) -> bool:
        return money.representable(amount, currency)

    def transfer_problem(self, currency: Currency, country: str | None) -> str | None:
        return instruments.transfer_problem(currency, country)

    def debit_problem(self, currency: Currency) -> str | None:
        return instruments.debit_problem(currency)

    async def payment_method(
        self, instrument: Tokened, currency: Currency, *, timeout_seconds: float
    ) -> PaymentMethod | Rejected | NotSent | Unknown:
        if fields.identifier(instrument.token) is None:
            return api_errors.UNUSABLE
        path = f"{_METHODS}/{instrument.token}"
        reply = replied(await self._wire.call("get", path, {}, timeout_seconds=timeout_seconds))
        if not isinstance(reply, Reply):
            return reply
        if reply.status != _OK:
            return api_errors.of_payment_method(reply.status, reply.body)
        kind = instruments.kind_of(instrument, currency)
        return answers.to_payment_method(instrument, kind, reply.body, livemode=self.livemode)

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        deadline = _now() + timeout_seconds
        reply = await self._post(
            _PAYMENTS,
            orders.confirm(order, self._settings.installation),
            idempotency_key=order.attempt,
            timeout_seconds=timeout_seconds,
        )
        if not isinstance(reply, Reply):
            return Answer(reply)
        if reply.status == _OK:
            answer = self._payment(reply)
        else:
            answer = api_errors.of_confirm(
                reply.status, reply.body, livemode=self.livemode, as_of=reply.as_of
            )
        if reply.replayed and answer.provider_reference is not None:
            # It shows the payment as it was when the key was first used, with the time of now.
            answer = await self._fetched(answer.provider_reference, deadline)
        answer = answers.to_confirm(order, self._settings.installation, answer)
        return _of_all_tries(reply, answer)

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        reference = order.provider_reference
        if fields.identifier(reference) is None:
            return Answer(Rejected("order_refused", _NO_SUCH))
        deadline = _now() + timeout_seconds
        reply = await self._post(
            f"{_PAYMENTS}/{reference}/capture",
            orders.capture(order),
            idempotency_key=order.attempt,
            timeout_seconds=timeout_seconds,
        )
        if not isinstance(reply, Reply):
            return Answer(reply)
        if reply.status == _OK:
            return answers.to_capture(order, self._payment(reply))
        if api_errors.state_stands_in_the_way(reply.body):
            standing = await self._standing(reference, reply, deadline)
            return answers.to_capture(order, standing)
        rejected = api_errors.of_capture(reply.status, reply.body)
        return _of_all_tries(reply, Answer(rejected, as_of=reply.as_of))

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        reference = order.provider_reference
        if fields.identifier(reference) is None:
            return Answer(Unknown(_NO_SUCH))
        deadline = _now() + timeout_seconds
        reply = await self._post(
            f"{_PAYMENTS}/{reference}/cancel",
            {},
            idempotency_key=order.key,
            timeout_seconds=timeout_seconds,
        )
        if not isinstance(reply, Reply):
            return Answer(reply)
        if reply.status == _OK:
            return answers.to_cancel(reference, self._payment(reply))
        if api_errors.state_stands_in_the_way(reply.body):
            return await self._standing(reference, reply, deadline)
        rejected = api_errors.of_cancel(reply.status, reply.body)
        return _of_all_tries(reply, Answer(rejected, as_of=reply.as_of))

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        return await self._refunds.refund(order, timeout_seconds=timeout_seconds)

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        return await self._refunds.retrieve(provider_reference, timeout_seconds=timeout_seconds)

    def list_refunds(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        return self._refunds.of_payment(payment_reference, timeout_seconds=timeout_seconds)

    def list_refunds_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        return self._refunds.created(since, until, timeout_seconds=timeout_seconds)

    async def retrieve_dispute(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> DisputeAnswer | Absent:
        return await self._disputes.retrieve(provider_reference, timeout_seconds=timeout_seconds)

    def list_disputes(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        return self._disputes.of_payment(payment_reference, timeout_seconds=timeout_seconds)

    def list_disputes_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        return self._disputes.created(since, until, timeout_seconds=timeout_seconds)

    async def upload_file(self, order: UploadOrder, *, timeout_seconds: float) -> FileOutcome:
        return await self._files.upload(order, timeout_seconds=timeout_seconds)

    async def submit_evidence(
        self, order: EvidenceOrder, *, timeout_seconds: float
    ) -> DisputeAnswer:
        return await self._disputes.submit(order, timeout_seconds=timeout_seconds)

    async def accept_dispute(self, order: AcceptOrder, *, timeout_seconds: float) -> DisputeAnswer:
        return await self._disputes.accept(order, timeout_seconds=timeout_seconds)

    async def retrieve_fraud_warning(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> FraudWarning | Absent | Unknown:
        return await self._warnings.retrieve(provider_reference, timeout_seconds=timeout_seconds)

    def report_layout(self, report_format: ReportFormat) -> Layout | None:
        """As the port says."""
        return itemized_report.LAYOUT if report_format is ReportFormat.STRIPE_ITEMIZED else None

    async def make_customer(
        self, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | NotSent | Rejected | Unknown:
        return await self._customers.make(order, timeout_seconds=timeout_seconds)

    async def change_customer(
        self, provider_reference: str, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | Absent | NotSent | Rejected | Unknown:
        return await self._customers.change(
            provider_reference, order, timeout_seconds=timeout_seconds
        )

    async def money_left(
        self, customer_reference: str, *, timeout_seconds: float
    ) -> MoneyLeft | Absent | Unknown:
        return await self._customers.money_left(customer_reference, timeout_seconds=timeout_seconds)

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        if fields.identifier(provider_reference) is None:
            return Absent()
        fact = await self._wire.call(
            "get",
            f"{_PAYMENTS}/{provider_reference}",
            {"expand": ["latest_charge"]},
            timeout_seconds=timeout_seconds,
        )
        if not isinstance(fact, Reply):
            return Answer(Unknown(fact.message))
        if fact.status == _NOT_FOUND and is_missing(fact.body):
            return Absent()
        if fact.status != _OK:
            # Refusing to tell is not refusing the payment: a revoked key ends nothing here.
            return Answer(Unknown(f"the provider answered HTTP {fact.status}"), as_of=fact.as_of)
        return answers.of_payment(provider_reference, self._payment(fact))

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        """Page by page through Stripe's list, which is read-after-write, unlike its search
        (https://docs.stripe.com/search). The deadline is each page's.
        """
        asked = {"expand": ["data.latest_charge"]}
        async for item, as_of in lists.items(
            self._wire, _PAYMENTS, since, until, asked, timeout_seconds=timeout_seconds
        ):
            yield translate.payment(item, livemode=self.livemode, as_of=as_of)

    def list_events(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[bytes]:
        return events_created(self._wire, since, until, timeout_seconds=timeout_seconds)

    def verify_event(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        events.verify(
            body,
            headers,
            self._settings.webhook_secrets,
            now=now,
            tolerance_seconds=self._settings.webhook_tolerance_seconds,
        )

    @property
    def acts_upon(self) -> Sequence[str]:
        return events.ACTED_UPON

    def masked_event(self, body: bytes) -> MaskedBody:
        return masking.masked_event(body)

    def read_event(self, body: bytes) -> Notice:
        return events.read(body)

    async def account(self, *, timeout_seconds: float) -> str | Rejected | Unknown:
        fact = await self._wire.call("get", _ACCOUNT, {}, timeout_seconds=timeout_seconds)
        if not isinstance(fact, Reply):
            return Unknown(fact.message)
        if fact.status != _OK:
            return api_errors.of_account(fact.status, fact.body)
        account = fields.identifier(fact.body.get("id"))
        if fact.body.get("object") != "account" or account is None:
            return Unknown("the answer is not an account")
        return account

    async def close(self) -> None:
        await self._wire.close()
        await self._files_wire.close()

    async def _post(
        self,
        path: str,
        params: Mapping[str, Any],
        *,
        idempotency_key: str,
        timeout_seconds: float,
    ) -> Reply | NotSent | Unknown:
        fact = await self._wire.call(
            "post", path, params, idempotency_key=idempotency_key, timeout_seconds=timeout_seconds
        )
        return replied(fact)

    def _payment(self, reply: Reply) -> Answer:
        return translate.payment(reply.body, livemode=self.livemode, as_of=reply.as_of)

    async def _standing(self, reference: str, rejected: Reply, deadline: float) -> Answer:
        """How a payment stands that was not as a call took it to be.

        The refusal shows the payment, unless it is an old one given again: then it is asked for.
        """
        shown = fields.mapping(fields.mapping(rejected.body, "error"), "payment_intent")
        if shown and not rejected.replayed:
            answer = translate.payment(shown, livemode=self.livemode, as_of=rejected.as_of)
            if not isinstance(answer.outcome, Unknown):
                return answers.of_payment(reference, answer)
        return await self._fetched(reference, deadline)

    async def _fetched(self, reference: str, deadline: float) -> Answer:
        """How a payment that the provider has named stands now."""
        found = await self.retrieve(reference, timeout_seconds=deadline - _now())
        return Answer(Unknown(_NO_SUCH)) if isinstance(found, Absent) else found


def _now() -> float:
    """The event loop's clock, which deadlines are set by."""
    return asyncio.get_running_loop().time()


def _of_all_tries(reply: Reply, answer: Answer) -> Answer:
    """The answer, unless it refuses the last try alone while an earlier one is in doubt."""
    rejected = isinstance(answer.outcome, Rejected)
    if reply.after_silence and rejected and speaks_of_its_call_alone(answer.outcome):
        return Answer(
            Unknown("an earlier call of the same attempt may have reached the provider"),
            as_of=answer.as_of,
        )
    return answer

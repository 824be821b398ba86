"""What may be answered to a request, from what was committed and what the provider's books say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from paygate.domain.access.roles import Action
from paygate.domain.errors import ErrorCode
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.payment_intent import FINAL, PaymentIntent, Status
from paygate.flows.payments.attempt.begin import KEYS_MARGIN
from tests.flows.payments.stand_in_provider import NOT_HEARD, Payment, StandInProvider, Will
from tests.flows.payments.watched import Log
from tests.flows.world import World

UNPAID = (Status.FAILED, Status.CANCELLED, Status.REFUNDED)
KEPT = timedelta(hours=24)
CUT_OFF = "cut off"
"""The client heard nothing."""
IN_DOUBT = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})
Body = Mapping[str, Any]
"""What a flow is given of a request, by name."""

ENDS = {
    Will.APPROVE: Status.SUCCEEDED,
    Will.HOLD: Status.REQUIRES_CAPTURE,
    Will.DECLINE: Status.FAILED,
    Will.REJECT: Status.FAILED,
    Will.ASK_PAYER: Status.REQUIRES_ACTION,
    Will.STAY_PENDING: Status.PROCESSING,
    Will.LOSE_ORDER: Status.PROCESSING,
    Will.LOSE_REPLY: Status.PROCESSING,
    Will.NOT_SENT: ErrorCode.PROVIDER_UNAVAILABLE,
    Will.CUT_BEFORE: CUT_OFF,
    Will.CUT_AFTER: CUT_OFF,
}
"""What a confirm is answered that the provider had not heard of."""
TOLD = {
    Will.REJECT: ErrorCode.PAYMENT_METHOD_REJECTED,
    Will.NOT_SENT: ErrorCode.PROVIDER_UNAVAILABLE,
    Will.LOSE_ORDER: ErrorCode.PROVIDER_UNAVAILABLE,
    Will.LOSE_REPLY: ErrorCode.PROVIDER_UNAVAILABLE,
    Will.CUT_BEFORE: CUT_OFF,
    Will.CUT_AFTER: CUT_OFF,
}
"""What an attach is answered for which the provider shows no method."""


@dataclass
class Ask:
    """A request that a client sends, and what it was told for good."""

    action: Action
    path: str
    body: Body
    key: str | None
    requests: set[str] = field(default_factory=set)
    final_body: bytes | None = None


class Model:
    """What there is of one merchant, and what follows from it."""

    world: World
    log: Log
    provider: StandInProvider

    def intent(self, intent_id: str) -> PaymentIntent:
        found = self.log.records[PaymentIntent, intent_id]
        assert isinstance(found, PaymentIntent)
        return found

    def payments(self, intent: str | None = None) -> list[Payment]:
        return [p for p in self.provider.payments if intent in (None, p.order.intent)]

    def expected(self, ask: Ask, key: IdempotencyKey | None) -> object:
        """What must be answered, if nothing is cut off."""
        if key is not None and key.state is KeyState.FINISHED:
            return key.body
        if ask.action is Action.INTENT_CREATE:
            return self._creates(ask.body)
        intent = self.intent(ask.path)
        if ask.action is Action.INTENT_CANCEL:
            return self._cancels(intent, key)
        if ask.action is Action.INTENT_CAPTURE:
            return self._captures(intent, key)
        if ask.action is Action.INTENT_ATTACH:
            return self._attaches(intent, ask.body)
        return self._confirms(intent, key, ask.body)

    def _creates(self, body: Body) -> object:
        taken = body.get("unique_reference") and self.of_reference(body["reference"])
        return ErrorCode.REFERENCE_IN_USE if taken else Status.CREATED

    def of_reference(self, reference: str) -> list[PaymentIntent]:
        """The intents of a reference that are paid or can still be paid."""
        named = [i for i in self.log.all(PaymentIntent) if i.reference == reference]
        return [i for i in named if i.status not in UNPAID]

    def _attaches(self, intent: PaymentIntent, body: Body) -> object:
        if intent.status is not Status.CREATED:
            return ErrorCode.STATE_CONFLICT
        asks = body["instrument"] is not None
        return TOLD.get(self.provider.will, Status.CREATED) if asks else Status.CREATED

    def _cancels(self, intent: PaymentIntent, key: IdempotencyKey | None) -> object:
        attempts = self.log.attempts(intent.id)
        last = attempts[-1] if attempts else None
        own = last is not None and key is not None and key.claim in (last.claim, last.cancel_claim)
        if last is None or (
            last.state is AttemptState.NOT_SENT and intent.status is Status.PROCESSING
        ):
            created = intent.status in {Status.CREATED, Status.PROCESSING}
            return Status.CANCELLED if created else ErrorCode.STATE_CONFLICT
        if intent.status in FINAL:
            return intent.status if own else ErrorCode.STATE_CONFLICT
        in_doubt = last.state in IN_DOUBT
        if not own and (in_doubt or intent.pending_operation == "cancel"):
            return ErrorCode.OPERATION_PENDING
        payment = self._payment_of(intent)
        return Status.CANCELLED if payment.closable else payment.status

    def _captures(self, intent: PaymentIntent, key: IdempotencyKey | None) -> object:
        attempts = self.log.attempts(intent.id)
        last = attempts[-1] if attempts else None
        own = last is not None and key is not None and key.claim == last.claim
        if own and last is not None and last.state not in IN_DOUBT:
            return intent.status
        if own and last is not None:
            late = self.world.clock() >= last.first_sent_at + KEPT - KEYS_MARGIN
            return Status.REQUIRES_CAPTURE if late else self._payment_of(intent).status
        if intent.status is not Status.REQUIRES_CAPTURE:
            return ErrorCode.STATE_CONFLICT
        if intent.pending_operation is not None:
            return ErrorCode.OPERATION_PENDING
        assert intent.authorization_expires_at is not None
        if self.world.clock() >= intent.authorization_expires_at:
            return ErrorCode.AUTHORIZATION_EXPIRED
        payment = self._payment_of(intent)
        return Status.SUCCEEDED if payment.held else payment.status

    def _payment_of(self, intent: PaymentIntent) -> Payment:
        (payment,) = (p for p in self.payments() if p.reference == intent.provider_reference)
        return payment

    def _confirms(self, intent: PaymentIntent, key: IdempotencyKey | None, body: Body) -> object:
        will = self.provider.will
        attempts = self.log.attempts(intent.id)
        if not attempts and intent.status is Status.CREATED:
            nothing = body.get("instrument") is None and intent.attached is None
            return ErrorCode.PARAMETER_MISSING if nothing else ENDS[will]
        if not attempts or key is None or attempts[-1].claim != key.claim:
            return ErrorCode.INTENT_ALREADY_CONFIRMED
        last = attempts[-1]
        not_sent = last.state is AttemptState.NOT_SENT and intent.status is Status.PROCESSING
        if last.state not in IN_DOUBT and not not_sent:
            return intent.status
        if self.world.clock() >= last.first_sent_at + self.provider.keys_kept - KEYS_MARGIN:
            return Status.PROCESSING
        if not_sent:
            return ENDS[will]
        known = [p for p in self.payments(intent.id) if p.order.attempt == last.id]
        tells = will not in (*NOT_HEARD, Will.LOSE_REPLY, Will.CUT_AFTER)
        return known[-1].status if known and tells else ENDS[will]

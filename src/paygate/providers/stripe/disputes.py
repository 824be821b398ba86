"""Stripe's disputes: the port's part, over the same wire as payments."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    Disputed,
    DisputeRejected,
    DisputeUnfamiliar,
    RejectionCode,
)
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.providers.absence import Absent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder
from paygate.providers.stripe import dispute_answers, dispute_rejections, fields, lists, orders
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.replies import is_missing, replied

_DISPUTES: Final = "/v1/disputes"
_OK, _UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_SHARE_TO_LOOK: Final = 0.3
"""Of the time for a submission: to read how the dispute stands is quick, to take evidence is not.
"""
_NO_SUCH: Final = DisputeRejected(
    RejectionCode.ORDER_REFUSED, "It is no dispute of the provider's."
)
_CLOSED: Final = "The dispute is decided, and takes no evidence."
_ANSWERED: Final = "Evidence was submitted before: the provider takes it once."
_UNFAMILIAR: Final = "The dispute stands at the provider in a way that is not known here."
_EARLIER: Final = "an earlier call of this order may have reached the provider"


class StripeDisputes:
    """Implements the disputes of `Provider`."""

    def __init__(self, wire: StripeWire, *, livemode: bool) -> None:
        self._wire = wire
        self._livemode = livemode

    async def retrieve(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> DisputeAnswer | Absent:
        if fields.identifier(provider_reference) is None:
            return Absent()
        found = await self._look(provider_reference, timeout_seconds)
        if not isinstance(found, Reply):
            return DisputeAnswer(outcome=Unknown(found.message))
        if found.status == _NOT_FOUND and is_missing(found.body):
            return Absent()
        if found.status != _OK:
            silent = Unknown(f"the provider answered HTTP {found.status}")
            return DisputeAnswer(outcome=silent, as_of=found.as_of)
        return self._read(provider_reference, found)

    async def of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        """All of a payment's, page by page."""
        asked = {
            "payment_intent": payment_reference,
            "limit": lists.PAGE,
            "expand": ["data.charge"],
        }
        async for item, as_of in lists.all_items(
            self._wire, _DISPUTES, asked, timeout_seconds=timeout_seconds
        ):
            yield dispute_answers.dispute(item, livemode=self._livemode, as_of=as_of)

    async def created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        """All of a window, by the disputes' own time, whatever the payment's age."""
        asked = {"expand": ["data.charge"]}
        async for item, as_of in lists.items(
            self._wire, _DISPUTES, since, until, asked, timeout_seconds=timeout_seconds
        ):
            yield dispute_answers.dispute(item, livemode=self._livemode, as_of=as_of)

    async def submit(self, order: EvidenceOrder, *, timeout_seconds: float) -> DisputeAnswer:
        """Two calls: a submission that is not the first may cost a better one its place."""
        reference = order.provider_reference
        if fields.identifier(reference) is None:
            return DisputeAnswer(outcome=_NO_SUCH)
        deadline = _now() + timeout_seconds
        found = await self._look(reference, timeout_seconds * _SHARE_TO_LOOK)
        if stopped := self._in_the_way(order, found):
            return stopped
        return await self._order(
            reference,
            f"{_DISPUTES}/{reference}",
            orders.evidence(order),
            order.key,
            deadline,
            tuple(order.texts.values()),
        )

    async def accept(self, order: AcceptOrder, *, timeout_seconds: float) -> DisputeAnswer:
        reference = order.provider_reference
        if fields.identifier(reference) is None:
            return DisputeAnswer(outcome=_NO_SUCH)
        path, deadline = f"{_DISPUTES}/{reference}/close", _now() + timeout_seconds
        return await self._order(reference, path, {"expand": ["charge"]}, order.key, deadline)

    async def _order(
        self,
        reference: str,
        path: str,
        params: dict[str, object],
        key: str,
        deadline: float,
        sent: tuple[str, ...] = (),
    ) -> DisputeAnswer:
        """What an order came to; `sent` are texts that no message may repeat."""
        left = deadline - _now()
        reply = replied(
            await self._wire.call("post", path, params, idempotency_key=key, timeout_seconds=left)
        )
        if not isinstance(reply, Reply):
            return DisputeAnswer(outcome=reply)
        if reply.status == _OK:
            answer = self._read(reference, reply)
            # An answer that is given again shows the dispute as it was when the key was first used.
            return await self._newest(reference, answer, deadline) if reply.replayed else answer
        refused = dispute_rejections.of_order(reply.status, reply.body, sent)
        if reply.after_silence and dispute_rejections.speaks_of_its_call_alone(refused):
            refused = Unknown(_EARLIER)
        answer = DisputeAnswer(outcome=refused, as_of=reply.as_of)
        if isinstance(refused, DisputeRejected) and refused.code is RejectionCode.ORDER_REFUSED:
            return await self._why(reference, refused, answer, deadline)
        return answer

    async def _why(
        self, reference: str, refused: DisputeRejected, answer: DisputeAnswer, deadline: float
    ) -> DisputeAnswer:
        """The refusal of an order, with how the dispute stands where that is the reason."""
        standing = await self.retrieve(reference, timeout_seconds=deadline - _now())
        if isinstance(standing, Absent) or not isinstance(standing.outcome, Disputed):
            return answer
        if standing.outcome.status in dispute_answers.CLOSED:
            return _stopped(standing, RejectionCode.DISPUTE_CLOSED, _CLOSED)
        return _stopped(standing, refused.code, refused.message)

    async def _newest(
        self, reference: str, answer: DisputeAnswer, deadline: float
    ) -> DisputeAnswer:
        found = await self.retrieve(reference, timeout_seconds=deadline - _now())
        if isinstance(found, DisputeAnswer) and isinstance(found.outcome, Disputed):
            return found
        return dispute_answers.without_time(answer)

    def _in_the_way(
        self, order: EvidenceOrder, found: Reply | NotSent | Unknown
    ) -> DisputeAnswer | None:
        """Why nothing is submitted, by what a look at the dispute told; None when it may be."""
        if isinstance(found, NotSent):
            return DisputeAnswer(outcome=found)
        if isinstance(found, Unknown):
            return DisputeAnswer(outcome=NotSent(found.message))
        if found.status in {_UNAUTHENTICATED, _FORBIDDEN}:
            refused = dispute_rejections.of_order(found.status, found.body)
            return DisputeAnswer(outcome=refused, as_of=found.as_of)
        if found.status != _OK:
            return DisputeAnswer(outcome=NotSent(f"the provider answered HTTP {found.status}"))
        shown = self._read(order.provider_reference, found)
        if isinstance(shown.outcome, Disputed):
            return _barred(order, shown, shown.outcome)
        if isinstance(shown.outcome, DisputeUnfamiliar):
            rejected = DisputeRejected(RejectionCode.ORDER_REFUSED, _UNFAMILIAR)
            return msgspec.structs.replace(shown, outcome=rejected)
        return DisputeAnswer(outcome=NotSent("how the dispute stands could not be read"))

    async def _look(self, reference: str, timeout_seconds: float) -> Reply | NotSent | Unknown:
        path, asked = f"{_DISPUTES}/{reference}", {"expand": ["charge"]}
        return replied(await self._wire.call("get", path, asked, timeout_seconds=timeout_seconds))

    def _read(self, reference: str, reply: Reply) -> DisputeAnswer:
        answer = dispute_answers.dispute(reply.body, livemode=self._livemode, as_of=reply.as_of)
        return dispute_answers.of_reference(reference, answer)


def _barred(order: EvidenceOrder, shown: DisputeAnswer, stands: Disputed) -> DisputeAnswer | None:
    """Why a dispute that stands so takes no evidence of this order; None when it does."""
    if stands.status in dispute_answers.CLOSED:
        return _stopped(shown, RejectionCode.DISPUTE_CLOSED, _CLOSED)
    if stands.submission_count != order.expected_submission_count:
        return _stopped(shown, RejectionCode.ALREADY_SUBMITTED, _ANSWERED)
    agreed = order.fees_acknowledged
    if any(not case.fee_acknowledged and case.network not in agreed for case in stands.compliance):
        fee = dispute_rejections.FEE_NOT_ACKNOWLEDGED
        return _stopped(shown, fee.code, fee.message)
    return None


def _stopped(shown: DisputeAnswer, code: RejectionCode, message: str) -> DisputeAnswer:
    """A refusal for how the dispute stands, which is shown with it."""
    assert isinstance(shown.outcome, Disputed)
    rejected = DisputeRejected(code, message, stands=shown.outcome)
    return msgspec.structs.replace(shown, outcome=rejected)


def _now() -> float:
    """The event loop's clock, which deadlines are set by."""
    return asyncio.get_running_loop().time()

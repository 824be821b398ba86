"""The calls of the side door.

It must never be reachable under /v1, nor ask for the API's key: it binds with the sandbox to
loopback, and whoever can order faults owns the sandbox anyway.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from paygate_sandbox.books import Books, Origin
from paygate_sandbox.control import account, disputes, payouts
from paygate_sandbox.control.ledger import ledger
from paygate_sandbox.control.orders import (
    AccountOrder,
    AdjustmentOrder,
    ClockOrder,
    DisputeOrder,
    EventOrder,
    FaultOrder,
    OrderError,
    PayoutOrder,
    WarningOrder,
)
from paygate_sandbox.control.samples import SAMPLES, About
from paygate_sandbox.engine import Engine
from paygate_sandbox.faults import FaultError
from paygate_sandbox.resources.disputes import case, fraud_warnings
from paygate_sandbox.store.objects import JsonObject, Record, Window

PREFIX = "/_sandbox/"
# Of what a wrong order said, in a refusal.
_MOST_SAID = 100

Order = TypeVar("Order")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Control:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = engine.parts
        self._calls: dict[tuple[str, str], Handler] = {
            ("GET", "ledger"): self._ledger,
            ("GET", "faults"): self._report_faults,
            ("POST", "faults"): self._order_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "clock"): self._tell_clock,
            ("POST", "clock"): self._advance_clock,
            ("GET", "account"): self._tell_account,
            ("POST", "account"): self._change_account,
            ("GET", "deliveries"): self._count_deliveries,
            ("POST", "disputes"): self._dispute,
            ("POST", "fraud_warnings"): self._warn,
            ("POST", "payouts"): self._pay_out,
            ("POST", "adjustments"): self._adjust,
            ("GET", "events"): self._list_event_types,
            ("POST", "events"): self._send_event,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = self._calls.get((request.method, request.path.removeprefix(PREFIX)))
        if call is None:
            return _refusal(404, f"no such control call: {request.method} {request.path}")
        try:
            return await call(request)
        except (msgspec.ValidationError, msgspec.DecodeError, FaultError, OrderError) as error:
            return _refusal(400, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, "the body is too large")

    async def _ledger(self, request: web.BaseRequest) -> web.StreamResponse:
        self._engine.catch_up()
        await self._parts.database.committed()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for piece in ledger(self._parts):
            await self._parts.database.committed()
            await response.write(piece)
        await response.write_eof()
        return response

    async def _report_faults(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(self._parts.faults.report())

    async def _order_fault(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, FaultOrder)
        fault = self._parts.faults.add(
            on=order.on,
            kind=order.kind,
            count=order.count,
            probability=order.probability,
            seed=order.seed,
            seconds=order.seconds,
            hold=order.hold,
        )
        return _json(fault.report(), status=201)

    async def _clear_faults(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"cleared": self._parts.faults.clear()})

    async def _tell_clock(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(self._clock())

    async def _advance_clock(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, ClockOrder)
        self._engine.advance_clock(order.advance_seconds)
        await self._engine.catch_up_politely()
        await self._parts.database.committed()
        return _json(self._clock())

    async def _tell_account(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(account.tell(self._parts.settling))

    async def _change_account(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, AccountOrder)
        self._engine.catch_up()  # what was due before is booked by the rules of then
        self._engine.settle_as(account.change(self._parts.settling, order))
        return _json(account.tell(self._parts.settling))

    async def _count_deliveries(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(self._parts.events.count())

    async def _dispute(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, DisputeOrder)
        return await self._begun(lambda books: disputes.dispute(books, order))

    async def _warn(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, WarningOrder)
        return await self._begun(lambda books: disputes.warning(books, order))

    async def _adjust(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, AdjustmentOrder)
        return await self._begun(lambda books: payouts.adjust(books, order))

    async def _pay_out(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, PayoutOrder)
        self._engine.catch_up()
        with self._engine.change(Origin()) as books:
            made = payouts.cut(books, order)
        self._engine.catch_up()  # what arrives at once has arrived
        await self._parts.database.committed()
        now = [self._parts.objects.find("payout", payout.id) or payout for payout in made]
        return _json({"payouts": [payouts.tell(payout) for payout in now]}, status=201)

    async def _begun(self, begin: Callable[[Books], Record]) -> web.StreamResponse:
        """Have a bank do something; what it made is the answer."""
        self._engine.catch_up()
        with self._engine.change(Origin()) as books:
            made = begin(books)
        await self._parts.database.committed()
        return _json(made.body, status=201)

    async def _list_event_types(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"types": sorted(SAMPLES)})

    async def _send_event(self, request: web.BaseRequest) -> web.StreamResponse:
        order = await _read(request, EventOrder)
        sample = SAMPLES.get(order.type)
        if sample is None:
            return _refusal(400, f"no such event can be sent: {order.type[:_MOST_SAID]}")
        payment = charge = dispute = warning = None
        if order.payment_intent is not None:
            payment = self._parts.objects.find("payment_intent", order.payment_intent)
            if payment is None:
                return _refusal(404, "there is no such payment")
            latest = payment.body["latest_charge"]
            charge = self._parts.objects.find("charge", latest) if latest else None
            dispute = self._newest(case.KIND, latest)
            warning = self._newest(fraud_warnings.KIND, latest)
        with self._engine.change(Origin()) as books:
            about = About(
                None if payment is None else payment.body,
                None if charge is None else charge.body,
                books.new_id,
                books.now,
                dispute,
                warning,
            )
            record = Record(sample(about))
            record.encode()
            books.emit(order.type, record)
        (event_id,) = books.emitted()
        endpoints = len(self._parts.subscriptions.wanting(order.type))
        await self._parts.database.committed()
        return _json({"id": event_id, "type": order.type, "endpoints": endpoints}, status=201)

    def _newest(self, kind: str, charge_id: str | None) -> JsonObject | None:
        """The newest object of a kind that a charge has."""
        found = self._parts.objects.page(kind, Window(1), {"related": charge_id or ""})
        return found[0].body if found else None

    def _clock(self) -> dict[str, int]:
        clock = self._parts.clock
        return {"now": clock.now(), "advanced_seconds": clock.offset}


async def _read(request: web.BaseRequest, kind: type[Order]) -> Order:
    return msgspec.json.decode(await request.read(), type=kind)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers={"Content-Type": "application/json"},
    )


def _refusal(status: int, message: str) -> web.Response:
    return _json({"error": {"message": message}}, status)

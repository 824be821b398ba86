"""The pipeline of one API call: who asks, what is asked, faults, the key, execution, the answer.

The order is Stripe's: a bad key, a rate limit and refused parameters come before the idempotency
layer; once the endpoint executes, its answer is saved in the transaction of its effect. Execution
itself never awaits, so calls cannot interleave; no answer leaves before its commit. It must never
know what a particular call does.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from paygate_sandbox.books import Books, Origin
from paygate_sandbox.clock import real_day
from paygate_sandbox.engine import Engine
from paygate_sandbox.faults import Fault
from paygate_sandbox.protocol.authentication import Authentication, secret_key_required
from paygate_sandbox.protocol.errors import StripeError, internal_error, rate_limited
from paygate_sandbox.protocol.expansion import check_paths, expand
from paygate_sandbox.protocol.forms import Form, parse_form
from paygate_sandbox.protocol.idempotency import Claim, Idempotency, check_key
from paygate_sandbox.protocol.parameters import ListOf, Text
from paygate_sandbox.protocol.parts import read_parts
from paygate_sandbox.protocol.replies import (
    Envelope,
    Reply,
    refuse,
    render_error,
    to_response,
)
from paygate_sandbox.protocol.versions import API_VERSION, check_version
from paygate_sandbox.resources.balance.endpoints import as_of
from paygate_sandbox.resources.endpoint import (
    Call,
    Download,
    Endpoint,
    Page,
    PaymentFailure,
    Result,
)
from paygate_sandbox.routes import Routes
from paygate_sandbox.store.keys import SavedResponse
from paygate_sandbox.store.objects import JsonObject, Record

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_EXPAND = ListOf(Text(500), max_items=20)
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was understood, its parameters not yet looked at."""

    request_id: str
    endpoint: Endpoint
    path: str
    target: str
    form: dict[str, Any]
    key: str | None

    @property
    def operation(self) -> str:
        return self.endpoint.operation_of(self.form)


@dataclass(frozen=True, slots=True)
class Checked:
    params: dict[str, Any]
    paths: list[list[str]]


class Api:
    def __init__(
        self,
        engine: Engine,
        routes: Routes,
        authentication: Authentication,
        stopping: asyncio.Event,
    ) -> None:
        self._engine = engine
        self._parts = engine.parts
        self._routes = routes
        self._authentication = authentication
        self._idempotency = Idempotency(self._parts.keys)
        self._stopping = stopping

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = self._parts.ids.request()
        try:
            asked = await self._understand(request, request_id)
        except StripeError as refusal:
            envelope = self._envelope(request_id)
            return to_response(refuse(refusal, envelope), envelope)
        struck = self._parts.faults.draw(asked.operation, "arrival")
        try:
            if struck is not None and struck.kind == "rate_limit":
                raise rate_limited()
            if struck is not None and struck.kind == "error_before":
                raise internal_error()
            checked = self._check(asked)
            claim = self._claim(asked)
        except StripeError as refusal:
            envelope = self._envelope(request_id, asked.key)
            return to_response(refuse(refusal, envelope), envelope)
        if isinstance(claim, SavedResponse):
            return await self._replay(request, asked, claim)
        try:
            await self._hold(request, self._parts.faults.draw(asked.operation, "hold"))
            reply = self._execute(asked, checked, claim)
            await self._parts.database.committed()
        finally:
            if claim is not None:
                self._idempotency.release(claim)
        return await self._send(request, asked, reply, self._envelope(request_id, asked.key))

    async def _understand(self, request: web.BaseRequest, request_id: str) -> Asked:
        secret = self._authentication.check(_header(request, "Authorization"))
        version = _header(request, "Stripe-Version")
        if version is not None and version != API_VERSION:
            check_version(version, real_day())
        method = request.method
        endpoint, target = self._routes.find(method, request.path)
        if not secret:
            endpoint = _in_browser(request, endpoint)
        key = None
        if method == "POST":
            takes_files = endpoint.takes_files
            form = await (read_parts(request) if takes_files else _form(request))
            # A browser's call has none: what is kept under a key is derived from all that was sent.
            key = check_key(_header(request, "Idempotency-Key")) if secret else None
        else:
            form = parse_form(request.rel_url.raw_query_string)
        return Asked(request_id, endpoint, request.path, target, form, key)

    @staticmethod
    def _check(asked: Asked) -> Checked:
        endpoint, form = asked.endpoint, dict(asked.form)
        wanted = _EXPAND.read("expand", form.pop("expand", []))
        params = endpoint.parameters.read(form)
        endpoint.check(params)
        return Checked(params, check_paths(wanted, endpoint.kind, is_list=endpoint.is_list))

    def _claim(self, asked: Asked) -> Claim | SavedResponse | None:
        if asked.key is None:
            return None
        now = self._parts.clock.now()
        return self._idempotency.claim(asked.key, asked.path, asked.form, asked.request_id, now)

    def _execute(self, asked: Asked, checked: Checked, claim: Claim | None) -> Reply:
        self._engine.catch_up()
        origin = Origin(asked.request_id, asked.key)
        envelope = self._envelope(asked.request_id, asked.key)
        spoilt = self._parts.faults.draw(asked.operation, "effect") is not None
        try:
            with self._engine.change(origin) as books:
                result = asked.endpoint.execute(Call(checked.params, asked.target, books))
                reply = _render(result, asked, checked, books, envelope)
                if spoilt:
                    reply = refuse(internal_error(), envelope)
                _save(books, claim, reply)
                return reply
        except StripeError as refusal:
            failed = refusal
        except Exception:  # noqa: BLE001 - whatever breaks, Stripe answers 500 and saves it
            _log.exception("%s %s broke", asked.endpoint.method, asked.path)
            failed = internal_error()
        # It left no effect; the answer is saved all the same, for it had begun.
        reply = refuse(internal_error() if spoilt else failed, envelope)
        with self._engine.change(origin) as books:
            _save(books, claim, reply)
        return reply

    async def _replay(
        self, request: web.BaseRequest, asked: Asked, saved: SavedResponse
    ) -> web.StreamResponse:
        await self._hold(request, self._parts.faults.draw(asked.operation, "hold"))
        envelope = Envelope(
            asked.request_id,
            self._parts.clock.now(),
            asked.key,
            original_request=saved.request_id,
            replayed=True,
        )
        return await self._send(request, asked, Reply(saved.status, saved.body), envelope)

    async def _send(
        self, request: web.BaseRequest, asked: Asked, reply: Reply, envelope: Envelope
    ) -> web.StreamResponse:
        late = self._parts.faults.draw(asked.operation, "reply")
        if late is not None and late.kind == "drop_reply":
            cut(request)
        else:
            await self._hold(request, late)
        return to_response(reply, envelope)

    async def _hold(self, request: web.BaseRequest, fault: Fault | None) -> None:
        """Wait as the fault says; a sandbox that stops meanwhile cuts, without the effect."""
        if fault is None:
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), fault.seconds)
        except TimeoutError:
            return
        cut(request)
        raise asyncio.CancelledError

    def _envelope(self, request_id: str, key: str | None = None) -> Envelope:
        return Envelope(request_id, self._parts.clock.now(), key)


def _save(books: Books, claim: Claim | None, reply: Reply) -> None:
    if claim is not None:
        books.save_response(claim.key, claim.response(reply))


def cut(request: web.BaseRequest) -> None:
    """End the connection without a word."""
    if request.transport is not None:
        request.transport.abort()


def _header(request: web.BaseRequest, name: str) -> str | None:
    """A header, all of it when it is sent twice; bytes that are no text are question marks."""
    values = request.headers.getall(name, None)
    return None if values is None else ", ".join(values).encode(errors="replace").decode()


def _in_browser(request: web.BaseRequest, endpoint: Endpoint) -> Endpoint:
    """The publishable key is public: only our own pages' calls are taken with it."""
    origin, host = request.headers.get("Origin"), request.headers.get("Host")
    if endpoint.in_browser is None or origin not in {f"http://{host}", f"https://{host}"}:
        raise secret_key_required()
    return endpoint.in_browser


async def _form(request: web.BaseRequest) -> Form:
    if request.can_read_body and request.content_type != _FORM:
        raise StripeError(
            f"Invalid request (check that your POST content type is {_FORM}). If you have any "
            "questions, we can help at https://support.stripe.com/."
        )
    try:
        return parse_form((await request.read()).decode())
    except UnicodeDecodeError:
        raise StripeError("Invalid request: the body is not UTF-8.") from None
    except web.HTTPRequestEntityTooLarge:
        raise StripeError("Invalid request: the body is too large.", status=413) from None


def _render(
    result: Result, asked: Asked, checked: Checked, books: Books, envelope: Envelope
) -> Reply:
    if isinstance(result, PaymentFailure):
        return render_error(result.status, result.error, envelope)
    if isinstance(result, Download):
        return Reply(200, result.path.read_bytes(), result.content_type)
    if isinstance(result, Page):
        items = b",".join([_body(item, checked, books) for item in result.items])
        more = b"true" if result.has_more else b"false"
        url = asked.path.encode()
        return Reply(
            200,
            b'{"object":"list","data":[%b],"has_more":%b,"url":"%b"}' % (items, more, url),
        )
    return Reply(200, _body(result, checked, books))


def _body(item: Record | JsonObject, checked: Checked, books: Books) -> bytes:
    """The bytes as stored, unless something is to be expanded or told as of now."""
    if isinstance(item, Record):
        if item.encoded and not checked.paths:
            return item.encoded
        item = _copy(item)
    return _encode(expand(item, checked.paths, lambda kind, each: _find(books, kind, each)))


def _find(books: Books, kind: str, object_id: str) -> JsonObject | None:
    record = books.find(kind, object_id)
    if record is None:
        return None
    body = _copy(record)
    return as_of(body, books.now) if kind == "balance_transaction" else body


def _copy(record: Record) -> JsonObject:
    """Expansion writes into what it is given, and may meet the same object twice on one path."""
    body: JsonObject = _decode(record.encoded) if record.encoded else record.body
    return body

"""Webhook endpoints: where events go, which ones, and the secret, told once.

It must never show a secret after the creation, nor deliver anything.
"""

from typing import Any

from paygate_sandbox.clock import real_day
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import PAGE_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import (
    Boolean,
    ListOf,
    Metadata,
    Parameter,
    Parameters,
    Text,
    Unsupported,
    Url,
    leaf,
    merge_metadata,
)
from paygate_sandbox.protocol.versions import API_VERSION, check_version
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.event_types import EVENT_TYPES
from paygate_sandbox.store.objects import JsonObject, Record

# Stripe's own bound on endpoints of one account.
MAX_ENDPOINTS = 16
_SECRET_LENGTH = 32


class ApiVersion:
    """Any that a call may ask for; events are rendered at `API_VERSION` all the same."""

    def read(self, name: str, raw: Any) -> str:
        version = leaf(name, raw, "string")
        check_version(version, real_day(), name)
        return version


class EventType:
    def read(self, name: str, raw: Any) -> str:
        value = leaf(name, raw, "string")
        if value != "*" and value not in EVENT_TYPES:
            raise StripeError(f"Invalid {name}: {value[:80]} is no event type", param=name)
        return value


def create(call: Call) -> JsonObject:
    params, books = call.params, call.books
    _check_events(params["enabled_events"])
    if sum(len(batch) for batch in books.objects.all("webhook_endpoint")) >= MAX_ENDPOINTS:
        raise StripeError(f"You have reached the maximum of {MAX_ENDPOINTS} webhook endpoints.")
    secret = "whsec_" + books.token(_SECRET_LENGTH)
    body: JsonObject = {
        "id": books.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": API_VERSION if "api_version" in params else None,
        "application": None,
        "created": books.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
    }
    books.insert(Record(body, {"secret": secret}))
    books.endpoints_changed = True
    return {**body, "secret": secret}


def update(call: Call) -> Record:
    params, record = call.params, call.load("webhook_endpoint")
    body = record.body
    if "enabled_events" in params:
        _check_events(params["enabled_events"])
    for name in ("description", "enabled_events", "url"):
        if name in params:
            body[name] = params[name]
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    if "disabled" in params:
        body["status"] = "disabled" if params["disabled"] else "enabled"
    call.books.update(record)
    call.books.endpoints_changed = True
    return record


def delete(call: Call) -> JsonObject:
    record, books = call.load("webhook_endpoint"), call.books
    books.delete(record.id)
    books.endpoints_changed = True
    return {"id": record.id, "object": "webhook_endpoint", "deleted": True}


def retrieve(call: Call) -> Record:
    return call.load("webhook_endpoint")


def list_endpoints(call: Call) -> Page:
    objects = call.books.objects
    asked = window(
        call.params, lambda cursor: objects.cursor("webhook_endpoint", cursor), "webhook endpoint"
    )
    return Page(*trim(objects.page("webhook_endpoint", asked, {}), asked))


def _check_events(enabled: list[str]) -> None:
    if not enabled:
        raise StripeError("You must select at least one event.", param="enabled_events")


_UPDATE: dict[str, Parameter] = {
    "description": Text(unsettable=True),
    "enabled_events": ListOf(EventType(), max_items=len(EVENT_TYPES) + 1),
    "metadata": Metadata(unsettable=True),
    "url": Url(),
}
_KIND = "webhook_endpoint"

ENDPOINTS = (
    Endpoint(
        "POST",
        "webhook_endpoints",
        _KIND,
        "webhook_endpoints",
        Parameters(
            {**_UPDATE, "api_version": ApiVersion(), "connect": Unsupported()},
            required=("enabled_events", "url"),
        ),
        create,
    ),
    Endpoint("GET", "webhook_endpoints/{}", _KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "GET",
        "webhook_endpoints",
        _KIND,
        "list",
        Parameters(PAGE_PARAMETERS),
        list_endpoints,
        is_list=True,
    ),
    Endpoint(
        "POST",
        "webhook_endpoints/{}",
        _KIND,
        "webhook_endpoints",
        Parameters({**_UPDATE, "disabled": Boolean()}),
        update,
    ),
    Endpoint("DELETE", "webhook_endpoints/{}", _KIND, "webhook_endpoints", Parameters(), delete),
)

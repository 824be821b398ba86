"""Events as the API shows them: thirty days of them, with what is still to be delivered.

It must never make one: events come of changes.
"""

import re
from typing import Any

from paygate_sandbox.protocol.errors import StripeError, missing_object
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Boolean, ListOf, Parameters, Text
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.store.objects import Record
from paygate_sandbox.webhooks.payload import event_json

RETENTION_SECONDS = 30 * 86_400
_MAX_TYPES = 20


def retrieve(call: Call) -> Record:
    row = call.books.parts.events.find(call.target, since=call.books.now - RETENTION_SECONDS)
    if row is None:
        raise missing_object("event", call.target)
    return Record({}, encoded=event_json(row))


def list_events(call: Call) -> Page:
    params, events = call.params, call.books.parts.events
    if "type" in params and "types" in params:
        raise StripeError("You may specify either type or types, not both.", param="types")
    since, until = params.get("created", (None, None))
    kept = call.books.now - RETENTION_SECONDS
    asked = window({**params, "created": (max(since or kept, kept), until)}, events.cursor, "event")
    types = params.get("types") or ([params["type"]] if "type" in params else [])
    found = events.page(asked, types=types, delivered=params.get("delivery_success"))
    rows, has_more = trim(found, asked)
    return Page([Record({}, encoded=event_json(row)) for row in rows], has_more)


class EventTypePattern:
    """One type, or a family of them as `charge.*`."""

    def read(self, name: str, raw: Any) -> str:
        value = Text().read(name, raw) or ""
        if not re.fullmatch(r"[a-z0-9_.*]+", value):
            raise StripeError(f"Invalid event type: {value[:50]}", param=name)
        return value


ENDPOINTS = (
    Endpoint("GET", "events/{}", "event", "events", Parameters(), retrieve),
    Endpoint(
        "GET",
        "events",
        "event",
        "events",
        Parameters(
            {
                **LIST_PARAMETERS,
                "delivery_success": Boolean(),
                "type": EventTypePattern(),
                "types": ListOf(EventTypePattern(), _MAX_TYPES),
            }
        ),
        list_events,
        is_list=True,
    ),
)

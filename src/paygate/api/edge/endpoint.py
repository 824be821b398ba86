"""An endpoint as a value: its route, who may call it, what it takes, what it responds.

The router, the OpenAPI document, the docs page and the tests' walk over roles all read the
same list, so none of them can forget a route.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from paygate.api.edge.exchange import Exchange
from paygate.api.edge.limits import Limits
from paygate.domain.access.roles import Action
from paygate.flows.access.authenticate import Authenticator
from paygate.flows.context import Context
from paygate.flows.provider.watch import ProviderLook

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
BODY_LIMIT: Final = 64 * 1024
"""The most bytes of a body: 50 metadata pairs of 540 characters are 27 KB, twice that in UTF-8."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class FormShape(NamedTuple):
    """A multipart body that a call takes: files, under these names."""

    parts: frozenset[str]
    part_limit: int
    """The most bytes of a file."""
    limit: int
    """The most bytes of all of the body."""
    streamed: str | None = None
    """The part that is handed on as it comes, to what `upload` of the endpoint makes."""


class Upload(Protocol):
    """Takes a part of a form in as it comes, in memory that does not grow with it."""

    async def take(self, parts: Mapping[str, bytes], pieces: Sequence[bytes]) -> None:
        """The next pieces of it; `parts` are those that are complete already.

        Raises:
            Refusal: what is wrong with it.
        """

    async def end(self, parts: Mapping[str, bytes]) -> None:
        """All of the form was there. Raises as `take` does."""

    async def abandon(self) -> None:
        """The request was refused, or ended early: let go of what was taken."""


class ApiContext(NamedTuple):
    """The tools of every handler: the flows' context, who is who, and who may call now."""

    ctx: Context
    authenticator: Authenticator
    limits: Limits
    provider_look: ProviderLook


Handler = Callable[[ApiContext, Exchange, Any], Awaitable[Any]]
Show = Callable[[Exchange, Any], msgspec.Struct]


def _as_it_is(_: Exchange, value: msgspec.Struct) -> msgspec.Struct:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route. `path` is written as in OpenAPI. An endpoint without an `action` is open to all,
    and not audited.

    `handle` calls a flow, `show` makes the response of the flow's value; the handler of a raw
    endpoint may return a `Reply`.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    handle: Handler
    response: type[msgspec.Struct] | None = None
    """The response's shape; None: no JSON."""
    show: Show = _as_it_is
    public_response: type[msgspec.Struct] | None = None
    """The shape that a payer's browser gets instead; None: no browser may call."""
    action: Action | None = None
    body: type[msgspec.Struct] | None = None
    """A body without required fields may be left out: it is then an empty object."""
    form: FormShape | None = None
    """A multipart body that it takes instead of its JSON body: the handler is given a `Form`."""
    upload: "Callable[[ApiContext, Exchange], Upload] | None" = None
    """What takes the form's streamed part."""
    query: type[msgspec.Struct] | None = None
    """The shape of the query string, which the handler is given where there is no body."""
    raw: bool = False
    """Whether the handler takes the bytes as they came, and proves its caller itself (a signature).
    """
    browser: bool = False
    """Whether a person looks at the response: a refusal is then a page that says nothing."""
    status: int = 200
    body_limit: int = BODY_LIMIT

    @property
    def takes_key(self) -> bool:
        """Whether the endpoint changes something for an API key, and takes an `Idempotency-Key`."""
        return self.method == "POST" and self.action is not None and not self.raw


class Reply(NamedTuple):
    """An HTTP response before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS
    media_type: str = JSON

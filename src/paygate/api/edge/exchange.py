"""One request and its response, as the edge knows them from the first byte to the last."""

from collections.abc import Mapping

from paygate.api.edge.errors import DOCS
from paygate.domain.access.roles import Action, Caller, Role
from paygate.domain.errors import Refusal
from paygate.telemetry.timing import Timing


class Exchange:
    """A request on its way. The edge makes one for each; handlers see nothing else of HTTP."""

    __slots__ = (
        "action",
        "address",
        "caller",
        "docs",
        "headers",
        "held",
        "path",
        "query",
        "refusal",
        "repeated",
        "request_id",
        "route",
        "target",
        "timing",
    )

    def __init__(
        self,
        request_id: str,
        headers: Mapping[str, str],
        address: str | None,
        timing: Timing,
        docs: str = DOCS,
    ) -> None:
        self.request_id = request_id
        self.headers = headers
        """Headers by lower-case name; of a name that came twice, the last."""
        self.repeated: str | None = None
        """A header that came twice, though it must have one value."""
        self.target = ""
        """The path as it was asked for, percent-decoded; what it means is in `path`."""
        self.address = address
        self.docs = docs
        """The address of explained codes, without the code."""
        self.timing = timing
        self.route: str | None = None
        """The template of the path; None when there is no such path."""
        self.path: Mapping[str, str] = {}
        """The path's parameters, as they were sent."""
        self.query = ""
        """The query string, as it came."""
        self.held = 0
        """Bytes of the body that are in memory (`edge/bodies.py`)."""
        self.action: Action | None = None
        self.caller: Caller | None = None
        self.refusal: Refusal | None = None

    @property
    def known_caller(self) -> Caller:
        """The caller of an endpoint that is behind an API key."""
        assert self.caller is not None, "these routes are behind an API key"
        return self.caller

    @property
    def client_side(self) -> bool:
        """Whether a payer's browser is asking."""
        return self.caller is not None and self.caller.actor.role is Role.PUBLISHABLE

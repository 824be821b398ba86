"""From a method and a path to the call it names.

It must never read a body.
"""

from collections.abc import Iterable

from paygate_sandbox.protocol.errors import unrecognized_url
from paygate_sandbox.resources.endpoint import Endpoint

_PREFIX = "/v1/"
_HOLE = "{}"
# The longest path has four.
_MAX_PIECES = 5


class Routes:
    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._with_id: dict[tuple[str, str, str], Endpoint] = {}
        for endpoint in endpoints:
            before, hole, after = endpoint.path.partition(_HOLE)
            assert _HOLE not in after, "a path has one id at most"
            if hole:
                self._with_id[endpoint.method, before, after] = endpoint
            else:
                self._fixed[endpoint.method, before] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, str]:
        """The endpoint and the id in the path, empty where the path has none."""
        rest = path.removeprefix(_PREFIX)
        endpoint = self._fixed.get((method, rest))
        if endpoint is not None:
            return endpoint, ""
        pieces = rest.split("/", _MAX_PIECES)
        for place in range(1, len(pieces)):
            before = "/".join([*pieces[:place], ""])
            after = "/".join(["", *pieces[place + 1 :]])
            endpoint = self._with_id.get((method, before, after))
            if endpoint is not None and pieces[place]:
                return endpoint, pieces[place]
        raise unrecognized_url(method, path)

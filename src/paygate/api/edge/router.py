"""Finds the route of a path. A path has one spelling: no other is looked for, none is redirected.

Paths are compared as they came, byte for byte. No path of ours needs percent-encoding, so an
encoded path is no other path's spelling: it can only be the place of an id that no object has.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from paygate.api.edge.endpoint import Endpoint

_ENCODED_SLASH: Final = "%2f"


class Route(NamedTuple):
    """One path, and the endpoints that are there, by method."""

    endpoints: Mapping[str, Endpoint]
    allow: str
    """The `Allow` header (RFC 9110, 10.2.1)."""
    path: str
    """The path as the endpoints write it."""


class Router:
    """A tree of the segments of all paths."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        self._root = _Node()
        for path, methods in by_path.items():
            self._root.add(path, _route(path, methods))

    def find(self, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a path, and the path's parameters; None when there is no such path."""
        start, *segments = path.split("/")
        if start or _ENCODED_SLASH in path.lower():
            return None
        node, parameters = self._root, {}
        for segment in segments:
            if (found := node.texts.get(segment)) is None:
                if node.parameter is None or not segment:
                    return None
                name, found = node.parameter
                parameters[name] = segment
            node = found
        return None if node.route is None else (node.route, parameters)


class _Node:
    """The segments that may follow those so far: a text, or else a parameter."""

    def __init__(self) -> None:
        self.texts: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.route: Route | None = None

    def add(self, path: str, route: Route) -> None:
        node = self
        for segment in path.split("/")[1:]:
            if not segment.startswith("{"):
                node = node.texts.setdefault(segment, _Node())
                continue
            node.parameter = node.parameter or (segment[1:-1], _Node())
            name, node = node.parameter
            assert name == segment[1:-1], f"one place in a path has one name: {path}"
        node.route = route


def _route(path: str, endpoints: Mapping[str, Endpoint]) -> Route:
    """The route of a path, with HEAD for GET where GET only reads: a look ahead must not do what a
    browser's callback does.
    """
    get = endpoints.get("GET")
    heads = {} if get is None or get.raw else {"HEAD": get}
    methods = {**endpoints, **heads}
    return Route(methods, ", ".join(sorted({*methods, "OPTIONS"})), path)

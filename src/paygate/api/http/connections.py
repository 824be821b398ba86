"""The open connections of one process: how many there may be, and of whom.

A connection counts from its accept on, before the TLS handshake, so that silence costs a stranger
as much as speech.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.buckets import network_of
from paygate.telemetry import log
from paygate.telemetry.floods import Floods


class Connection(Protocol):
    """What gives way when there is no room."""

    def abort(self) -> None:
        """End it at once, wherever it stands."""

    def retire(self) -> bool:
        """Take no more requests; returns whether one is under way."""


class Connections:
    """Who is connected, and who of them waits for nothing of ours."""

    def __init__(self, most: int, most_per_network: int, exempt: TrustedProxies) -> None:
        """`exempt` addresses, behind which many clients stand, have no limit of their own."""
        self._most = most
        self._most_per_network = most_per_network
        self._exempt = exempt
        self._networks: dict[Connection, str | None] = {}
        self._of_network: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}
        """Without a request under way, the one that has waited the longest first."""
        self._floods = Floods()

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._networks))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._networks

    def admit(self, connection: Connection, address: str) -> bool:
        """Whether a connection may stay. Where all places are taken, the longest idle gives way."""
        network = None if self._exempt.includes(address) else network_of(address)
        if network is not None and self._of_network[network] >= self._most_per_network:
            self._full("address")
            return False
        if len(self._networks) >= self._most:
            self._full("all")
            if not self._idle:
                return False
            longest = next(iter(self._idle))
            self.remove(longest)
            longest.abort()
        self._networks[connection] = network
        self._idle[connection] = None
        if network is not None:
            self._of_network[network] += 1
        return True

    def busy(self, connection: Connection) -> None:
        """A request is under way on the connection."""
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """No request is under way any more."""
        if connection in self._networks:
            self._idle[connection] = None

    def remove(self, connection: Connection) -> None:
        """The connection is over; to say so twice changes nothing."""
        self._idle.pop(connection, None)
        network = self._networks.pop(connection, None)
        if network is not None:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    def refused(self, code: str, request_id: str) -> None:
        """A request was refused that never reached the application, and so has no line of its own
        in the log.
        """
        self._floods.tell(
            code, log.logger().warning, "requests_refused", code=code, request_id=request_id
        )

    def _full(self, reason: str) -> None:
        self._floods.tell(reason, log.logger().warning, "connections_refused", reason=reason)

"""The client's address, and whether it came by TLS. `X-Forwarded-For` and `X-Forwarded-Proto` are
hearsay, unless a trusted proxy passes them on.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

Network = IPv4Network | IPv6Network

HOPS: Final = 20
"""The most proxies in a row, more than anyone has; the rest of a longer list is not read."""


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._look = lru_cache(maxsize=10_000)(self._look_closely)

    def includes(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        return self._look(address)[1]

    def client_address(self, scope: Any) -> str | None:
        """The address of the client: the peer, or whom the nearest trusted proxies name.

        Each proxy appends the address that it spoke with, so the list is read from the right, and
        the first address that is no trusted proxy's is the client's: all to the left is the
        client's word.
        """
        client = scope.get("client")
        if client is None:
            return None
        peer = str(client[0])
        if not self._networks or not self._look(peer)[1]:
            return peer
        last = peer
        for hop in _forwarded_for(scope["headers"])[: -HOPS - 1 : -1]:
            address, trusted = self._look(hop.strip())
            if address is None:
                break
            last = address
            if not trusted:
                break
        return last

    def says_https(self, scope: Any) -> bool:
        """Whether the peer is a trusted proxy that took the request over TLS, and says so in every
        `X-Forwarded-Proto` that it passes on.
        """
        client = scope.get("client")
        if client is None or not self.includes(str(client[0])):
            return False
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
        words = b",".join(said).split(b",")
        return all(word.strip().lower() == b"https" for word in words)

    def _look_closely(self, text: str) -> tuple[str | None, bool]:
        """The address as we write it, if it is one, and whether it is a trusted proxy's."""
        address = _parse(text)
        if address is None:
            return None, False
        return str(address), any(address in network for network in self._networks)


def _forwarded_for(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """The addresses of all lines, which are one list (RFC 9110, 5.3)."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return ",".join(lines).split(",")


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None  # a zone means nothing on another machine
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

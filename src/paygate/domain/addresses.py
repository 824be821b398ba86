"""Which addresses an outgoing connection may go to: a list of our own.

What an interpreter calls private or global has changed between its releases, and multicast is
global to it. So what is public is said here, by the registries of special-purpose addresses
(https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-special-registry).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_PUBLIC: Final = _networks(
    # 1.0.0.0 to 223.255.255.255: unicast.
    *("1.0.0.0/8", "2.0.0.0/7", "4.0.0.0/6", "8.0.0.0/5", "16.0.0.0/4", "32.0.0.0/3"),
    *("64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/4", "208.0.0.0/4"),
    "2000::/3",
)
_SPECIAL: Final = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
    *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    # Teredo and others, documentation, 6to4 (which names an IPv4 address in it), documentation.
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
"""In the public ranges, and yet not public."""
_LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")
_NEVER: Final = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",  # multicast, and what is reserved
    "::/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    # Where clouds give out credentials: Alibaba, Azure, Oracle, AWS. Link-local ones are above.
    *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128"),
)
"""Whatever networks somebody allows."""


class Reach(msgspec.Struct, frozen=True):
    """How far connections may go: public addresses, `private` networks that were named, and this
    machine itself where `loopback` says so.
    """

    private: tuple[Network, ...] = ()
    loopback: bool = False

    def allows(self, address: Address) -> bool:
        """Whether one may connect to the address. An IPv4 address in IPv6's clothes is judged as
        what it is.
        """
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if _in(address, _NEVER):
            return False
        if _in(address, _LOOPBACK):
            return self.loopback
        if _in(address, self.private):
            return True
        return _in(address, _PUBLIC) and not _in(address, _SPECIAL)


def _in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)

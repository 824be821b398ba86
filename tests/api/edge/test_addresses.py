"""`X-Forwarded-For`: believed from trusted proxies alone, and read from the right."""

from ipaddress import ip_network
from typing import Any

import pytest

from paygate.api.edge.addresses import HOPS, TrustedProxies

PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))


def scope(peer: str | None, *lines: str) -> dict[str, Any]:
    return {
        "client": None if peer is None else (peer, 1234),
        "headers": [
            (b"host", b"pay.example"),
            *((b"x-forwarded-for", line.encode("latin-1")) for line in lines),
        ],
    }


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, 10.0.0.9 ,10.0.0.8"], "192.0.2.7"),
        ("10.0.0.1", ["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["1.1.1.1", "192.0.2.7", "10.0.0.9"], "192.0.2.7"),
        ("10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
        ("fd00::1", ["192.0.2.7"], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
        # Nobody is named, or nothing that is an address: the last good one.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, 10.0.0.9,"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, nonsense, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["192.0.2.7:443"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.07"], "10.0.0.1"),
        ("10.0.0.1", ["\xff\xfe"], "10.0.0.1"),
        # All of them ours: the farthest.
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        # From anyone else the header is their own word.
        ("192.0.2.1", ["1.1.1.1"], "192.0.2.1"),
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        ("2001:db8::1", ["1.1.1.1"], "2001:db8::1"),
        ("nonsense", ["1.1.1.1"], "nonsense"),
    ],
)
def test_the_first_untrusted_from_the_right(peer: str, lines: list[str], address: str) -> None:
    assert PROXIES.client_address(scope(peer, *lines)) == address


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert TrustedProxies(()).client_address(scope("10.0.0.1", "1.1.1.1")) == "10.0.0.1"


def test_a_socket_without_an_address_has_none() -> None:
    assert PROXIES.client_address(scope(None, "1.1.1.1")) is None


def test_a_long_list_is_not_read_to_its_end() -> None:
    hops = ["192.0.2.7", *("10.0.0.2" for _ in range(HOPS))]
    assert PROXIES.client_address(scope("10.0.0.1", ", ".join(hops))) == "10.0.0.2"

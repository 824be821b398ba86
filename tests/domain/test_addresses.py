"""Which addresses may be connected to, as a table that no interpreter has a say in."""

from ipaddress import ip_address, ip_network

import pytest

from paygate.domain.addresses import Reach

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255"),
    *("172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
    *("203.0.112.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1"),
    "::ffff:8.8.8.8",
]
PRIVATE = [
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1"),
    *("192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "fd00::1", "fc00::1", "2001:db8::1", "2001::1", "2002:a00:1::1", "3fff::1"),
    *("64:ff9b::808:808", "100::1", "::8.8.8.8", "::ffff:10.0.0.5", "::ffff:0:808:808"),
]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]
NEVER = [
    *("0.0.0.0", "0.0.0.1", "169.254.0.1", "169.254.169.254", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "::", "fe80::1", "febf::1", "fec0::1", "ff02::1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    *("::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:224.0.0.1"),
]
EVERYTHING = tuple(ip_network(text) for text in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))


@pytest.mark.parametrize(
    ("addresses", "nowhere", "here", "allowed"),
    [
        (PUBLIC, True, True, True),
        (PRIVATE, False, False, True),
        (LOOPBACK, False, True, False),
        (NEVER, False, False, False),
    ],
    ids=["public", "private", "loopback", "never"],
)
def test_the_list_is_ours(
    addresses: list[str], *, nowhere: bool, here: bool, allowed: bool
) -> None:
    for text in addresses:
        address = ip_address(text)
        assert Reach().allows(address) is nowhere, text
        assert Reach(loopback=True).allows(address) is here, text
        assert Reach(private=EVERYTHING).allows(address) is allowed, text

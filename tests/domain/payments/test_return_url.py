"""Where a payer may be sent back to: one reading of every address, and their query kept."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.return_url import (
    MAX_LENGTH,
    check_return_url,
    host_allowed,
    is_host_pattern,
    parse_web_url,
    with_parameters,
)

GOOD = [
    "https://shop.example",
    "https://shop.example/",
    "https://SHOP.example:8443/done?order=7&a=%20#top",
    "https://shop.example?x",
    "https://a-b.c1.example/@user/:x",
    "https://192.0.2.1/done",
    "https://[2001:db8::1]:8443/done",
    "https://shop.example/" + "a" * (MAX_LENGTH - 21),
]
LOCAL = ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost:3000/done"]
BAD = [
    "",
    "shop.example/done",
    "//shop.example/done",
    "/done",
    "https:",
    "https://",
    "https:///done",
    "https:/shop.example",
    "https:shop.example",
    "HTTPS://shop.example/",
    "ftp://shop.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "shop://done",
    "http://shop.example/",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.2/",
    "https://user@shop.example/",
    "https://user:pass@shop.example/",
    "https://shop.example@evil.example/",
    "https://shop.example\\@evil.example/",
    "https://evil.example\\.shop.example/",
    "https://shop.example/a\\b",
    "https://shop.example /",
    "https://shop.example/a b",
    "https://shop.example/\r\nSet-Cookie: a=b",
    "https://shop.example/\x00",
    "https://shop.example/\x7f",
    "https://sh\u00f6p.example/",
    "https://shop.example/\u00e9",
    "https://shop%2eexample/",
    "https://shop..example/",
    "https://.shop.example/",
    "https://-shop.example/",
    "https://shop_.example/",
    "https://shop.example:0/",
    "https://shop.example:65536/",
    "https://shop.example:/",
    "https://shop.example:8443x/",
    "https://[::g]/",
    "https://[127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://shop.example;.evil.example/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 127 + "example/",
    "https://shop.example/" + "a" * (MAX_LENGTH - 20),
]


def refused(url: str, *, hosts: tuple[str, ...] | None = None, production: bool = False) -> str:
    with pytest.raises(Refusal) as refusal:
        check_return_url(url, hosts=hosts, production=production)
    assert refusal.value.param == "return_url"
    return refusal.value.code


@pytest.mark.parametrize("url", [*GOOD, *LOCAL])
def test_a_good_address_is_taken_as_it_is(url: str) -> None:
    assert check_return_url(url, hosts=None, production=False) == url


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_such_address_is_refused(url: str) -> None:
    assert refused(url) == ErrorCode.PARAMETER_INVALID


@pytest.mark.parametrize("url", LOCAL)
def test_production_takes_https_alone(url: str) -> None:
    assert refused(url, production=True) == ErrorCode.PARAMETER_INVALID


HOSTS = ("shop.example", "*.pay.example")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("shop.example", True),
        ("SHOP.EXAMPLE", True),
        ("www.shop.example", False),
        ("shop.example.evil.example", False),
        ("evilshop.example", False),
        ("a.pay.example", True),
        ("b.a.pay.example", True),
        ("pay.example", False),
        ("evilpay.example", False),
        ("127.0.0.1", False),
    ],
)
def test_a_host_must_be_named_where_any_is(host: str, allowed: bool) -> None:
    url = f"https://{host}:8443/done"
    if allowed:
        assert check_return_url(url, hosts=HOSTS, production=True) == url
    else:
        assert refused(url, hosts=HOSTS, production=True) == ErrorCode.RETURN_URL_NOT_ALLOWED
    assert refused(url, hosts=(), production=True) == ErrorCode.RETURN_URL_NOT_ALLOWED


@pytest.mark.parametrize("text", ["shop.example", "*.shop.example", "localhost", "192.0.2.1"])
def test_a_pattern_is_a_name_or_all_below_one(text: str) -> None:
    assert is_host_pattern(text)


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "*.*.example", "a.*.example", "Shop.example", "a/b", "a:1", "*shop.example"],
)
def test_other_patterns_are_none(text: str) -> None:
    assert not is_host_pattern(text)
    assert not host_allowed("x.example", ("*.shop.example",))


ADDED = {"payment_intent": "pi_1", "status": "succeeded"}


@pytest.mark.parametrize(
    ("url", "with_them"),
    [
        ("https://s.example", "https://s.example?{}"),
        ("https://s.example/", "https://s.example/?{}"),
        ("https://s.example/?", "https://s.example/?{}"),
        ("https://s.example/b?a=1&a=2&c=%20x", "https://s.example/b?a=1&a=2&c=%20x&{}"),
        ("https://s.example/b?x#top", "https://s.example/b?x&{}#top"),
        ("https://s.example/#/spa?order=1", "https://s.example/?{}#/spa?order=1"),
        ("https://s.example/?status=paid&a=1", "https://s.example/?status=paid&a=1&{}"),
        ("https://s.example/?a=1&payment_intent", "https://s.example/?a=1&payment_intent&{}"),
        ("https://s.example/?%73tatus=paid", "https://s.example/?%73tatus=paid&{}"),
        ("https://s.example/?a&&b&", "https://s.example/?a&&b&&{}"),
        ("https://s.example/?status2=x&my_status=y", "https://s.example/?status2=x&my_status=y&{}"),
    ],
)
def test_the_merchants_query_is_kept(url: str, with_them: str) -> None:
    expected = with_them.format("payment_intent=pi_1&status=succeeded")
    assert with_parameters(url, ADDED) == expected


QUERY = st.lists(st.tuples(st.text(), st.text()), max_size=5)


@given(QUERY, st.sampled_from(["", "#top", "#/a?b=c&status=x"]))
def test_whatever_the_query_is_it_is_kept_and_ours_are_the_last(
    pairs: list[tuple[str, str]], fragment: str
) -> None:
    url = f"https://s.example/p?{urlencode(pairs, errors='replace')}{fragment}"
    after = urlsplit(with_parameters(url, ADDED))
    parameters = parse_qsl(after.query, keep_blank_values=True)
    assert parameters[-2:] == list(ADDED.items())
    assert (after.netloc, after.path, after.fragment) == ("s.example", "/p", fragment[1:])
    before = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert parameters[:-2] == before


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=255), max_size=40))
def test_what_passes_is_read_alike_by_another_parser(rest: str) -> None:
    url = f"https://{rest}"
    parts = parse_web_url(url)
    if parts is not None:
        other = urlsplit(url)
        assert (other.hostname, other.username) == (parts.host.strip("[]"), None)
        assert other.path == parts.path

"""Multipart bodies: what is read, and what is refused, however the bytes are cut."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygate.api.edge.endpoint import FormShape
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.forms import FilePart, Form, FormReader, boundary_of
from paygate.api.edge.idempotency import canonical
from paygate.domain.errors import Refusal
from paygate.telemetry import timing

SHAPE = FormShape(frozenset({"receipt", "customer_signature"}), part_limit=1000, limit=5000)
BOUNDARY = "7MA4YWxkTrZu0gW"
PDF = b"Content-Type: application/pdf"


def named(name: str, filename: str | None = "r.pdf") -> bytes:
    more = "" if filename is None else f'; filename="{filename}"'
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode()


def body(*parts: tuple[Sequence[bytes], bytes], boundary: str = BOUNDARY, end: str = "--") -> bytes:
    """A form as a client writes it: each part's head and its content."""
    line = b"--" + boundary.encode()
    made = [line + b"\r\n" + b"\r\n".join(head) + b"\r\n\r\n" + data for head, data in parts]
    return b"\r\n".join([*made, line + end.encode() + b"\r\n"])


def read(content: bytes, sizes: Iterator[int] | None = None) -> Form:
    """The form, fed in pieces of these sizes."""
    reader = FormReader(SHAPE, BOUNDARY)
    while content:
        size = next(sizes) if sizes else len(content)
        reader.feed(content[:size])
        content = content[size:]
    return reader.end()


def refused(content: bytes) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as caught:
        read(content)
    return caught.value.code.value, caught.value.param


def test_files_are_read_with_what_their_sender_says_of_them() -> None:
    form = read(
        body(
            ((named("receipt"), PDF), b"%PDF-\r\n--" + BOUNDARY[:-1].encode()),
            ((named("customer_signature", None),), b""),
        )
    )
    assert form.parts == (
        FilePart("receipt", b"%PDF-\r\n--" + BOUNDARY[:-1].encode(), "r.pdf", "application/pdf"),
        FilePart("customer_signature", b""),
    )


@given(
    content=st.binary(max_size=300) | st.just(f"\r\n--{BOUNDARY}x".encode()),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_a_form_is_the_same_however_it_is_cut(content: bytes, sizes: list[int]) -> None:
    def endless() -> Iterator[int]:
        while True:
            yield from sizes

    if f"\r\n--{BOUNDARY}".encode() in content:
        content = content.replace(BOUNDARY.encode(), b"")
    around = b"a preamble\r\n", b"an epilogue"  # RFC 2046, 5.1.1: they say nothing
    sent = around[0] + body(((named("receipt"), PDF), content)) + around[1]
    assert read(sent, endless()) == read(sent)
    assert read(sent).parts[0].content == content


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 400), st.integers(1, 50))
def test_noise_is_refused_and_never_a_fault_of_ours(noise: bytes, at: int, size: int) -> None:
    sent = body(((named("receipt"), PDF), b"content"))
    for spoilt in (noise, sent[:at] + noise + sent[at:], sent[:at]):
        try:
            read(spoilt, iter([size] * (len(spoilt) + 1)))
        except Refusal:
            continue


GOOD = ((named("receipt"), PDF), b"x")
OTHER = ((named("customer_signature"), PDF), b"x")
FAULTS: list[tuple[str, bytes, str, str | None]] = [
    ("nothing", b"", "malformed_multipart", None),
    ("no part", body(), "parameter_missing", None),
    ("another boundary", body(GOOD, boundary="x"), "malformed_multipart", None),
    ("no end", body(GOOD, end=""), "malformed_multipart", None),
    ("cut in a part", body(GOOD)[:-20], "malformed_multipart", "receipt"),
    ("JSON", b'{"texts":{}}' * 10, "malformed_multipart", None),
    ("no name", body(((b"Content-Disposition: form-data",), b"x")), "parameter_unknown", ""),
    ("no head", body(((PDF,), b"x")), "malformed_multipart", None),
    ("unknown", body(((named("reciept"),), b"x")), "parameter_unknown", "reciept"),
    ("a path", body(((named("../receipt"),), b"x")), "parameter_unknown", "../receipt"),
    ("a text", body(((named("product_description", None),), b"x")), "parameter_unknown", None),
    ("twice", body(GOOD, OTHER, GOOD), "body_too_large", None),
    ("twice, with room", body(GOOD, GOOD), "parameter_invalid", "receipt"),
    ("too many", body(GOOD, OTHER, OTHER), "body_too_large", None),
    ("a large part", body(((named("receipt"),), b"x" * 1001)), "body_too_large", "receipt"),
    ("a large head", body(((named("receipt", "x" * 1100),), b"x")), "body_too_large", None),
    ("many heads", body(((named("receipt"), *[b"X-A: 1"] * 9), b"x")), "body_too_large", None),
    (
        "nested",
        body(((named("receipt"), b"Content-Type: multipart/mixed; boundary=a"), b"x")),
        "malformed_multipart",
        "receipt",
    ),
    (
        "base64",
        body(((named("receipt"), b"Content-Transfer-Encoding: base64"), b"eA==")),
        "malformed_multipart",
        "receipt",
    ),
    (
        "a wrong length",
        body(((named("receipt"), b"Content-Length: 7"), b"x")),
        "malformed_multipart",
        "receipt",
    ),
    ("a name in Latin-1", body(((b'X: \xfc; name="receipt"',), b"x")), "malformed_multipart", None),
    (
        "a line break in the file's name",
        body(((named("receipt", "a%0D%0Ab.pdf"),), b"x")),
        "parameter_invalid",
        "receipt",
    ),
]


@pytest.mark.parametrize(
    ("content", "code", "param"), [pytest.param(*f[1:], id=f[0]) for f in FAULTS]
)
def test_a_fault_is_refused_with_its_code(content: bytes, code: str, param: str | None) -> None:
    found = refused(content)
    assert found[0] == code
    assert param is None or found[1] == param


def test_a_fault_is_told_before_the_rest_comes() -> None:
    reader = FormReader(SHAPE, BOUNDARY)
    with pytest.raises(Refusal):
        reader.feed(body(((named("unheard_of"),), b"x" * 900))[:120])


def exchange(content_type: str) -> Exchange:
    return Exchange("req_1", {"content-type": content_type}, None, timing.begin())


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("application/json", None),
        ("", None),
        ("multipart/mixed; boundary=a", None),
        ("multipart/form-data; boundary=a", "a"),
        ('Multipart/Form-Data; charset=UTF-8; boundary="a b"', "a b"),
    ],
)
def test_the_boundary_is_the_headers(content_type: str, found: str | None) -> None:
    assert boundary_of(exchange(content_type)) == found


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("multipart/form-data", "malformed_multipart"),
        ("multipart/form-data; boundary=", "malformed_multipart"),
        ('multipart/form-data; boundary="a\\"b"', "malformed_multipart"),
        (f"multipart/form-data; boundary={'x' * 71}", "malformed_multipart"),
        ("multipart/form-data; boundary=a; charset=latin1", "content_type_unsupported"),
        ("multipart/form-data; boundary=a; charset=utf-16", "content_type_unsupported"),
    ],
)
def test_a_form_without_its_boundary_or_in_another_charset_is_refused(
    content_type: str, code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        boundary_of(exchange(content_type))
    assert caught.value.code == code


def parameters(*parts: FilePart) -> Any:
    return canonical(Form(parts).parameters)


def test_two_forms_are_the_same_request_by_content_names_and_types() -> None:
    one, other = FilePart("receipt", b"x", "r.pdf"), FilePart("customer_signature", b"y")
    assert parameters(one, other) == parameters(other, one)
    for changed in (
        FilePart("receipt", b"z", "r.pdf"),
        FilePart("receipt", b"x", "s.pdf"),
        FilePart("receipt", b"x", "r.pdf", "application/pdf"),
        FilePart("customer_signature", b"x", "r.pdf"),
    ):
        assert parameters(changed) != parameters(one)


STREAMED = FormShape(frozenset({"file", "format"}), 10_000_000, 20_000_000, "file")


def test_a_streamed_part_is_handed_on_as_it_comes_and_known_by_its_hash() -> None:
    content = bytes(range(256)) * 1000
    sent = body(([named("format", None)], b"csv"), ([named("file")], content))
    reader = FormReader(STREAMED, BOUNDARY)
    passed = b""
    for at in range(0, len(sent), 4096):
        reader.feed(sent[at : at + 4096])
        pieces = reader.streamed()
        assert sum(map(len, pieces)) <= 8192
        passed += b"".join(pieces)
        if passed:
            assert reader.done["format"].content == b"csv"
    form = reader.end()
    assert passed == content
    (_, file) = form.parts
    assert (file.content, file.filename) == (b"", "r.pdf")
    whole = FilePart("file", content, "r.pdf", file.content_type)
    assert form.parameters["file"] == Form((whole,)).parameters["file"]


def test_what_stands_beside_a_streamed_part_is_small() -> None:
    reader = FormReader(STREAMED, BOUNDARY)
    with pytest.raises(Refusal) as refused:
        reader.feed(body(([named("format", None)], b"x" * 70_000)))
    assert (refused.value.code, refused.value.param) == ("body_too_large", "format")

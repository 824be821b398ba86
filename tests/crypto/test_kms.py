"""The development KEK: made once and whole, private, and refused for every other reason."""

import base64
import os
import stat
import zlib
from pathlib import Path

import pytest

from paygate.crypto import tink_keysets
from paygate.crypto.kms import MAX_FILE_BYTES, FileKms, KmsError, open_kms
from paygate.crypto.tink_keysets import KeyKind


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def refusal(path: Path) -> str:
    with pytest.raises(KmsError) as caught:
        FileKms.open(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_was_wrapped_is_unwrapped_also_after_a_restart(kek_path: Path) -> None:
    wrapped = FileKms.create(kek_path).wrap(b"a keyset", b"for you")
    again = FileKms.open(kek_path)
    assert again.unwrap(wrapped, b"for you") == b"a keyset"


@pytest.mark.parametrize("is_development", [True, False])
def test_a_development_key_is_one_wherever_it_is_copied_to(
    kek_path: Path, *, is_development: bool
) -> None:
    assert FileKms.create(kek_path, is_development=is_development).is_development is is_development
    copy = kek_path.with_name("copy")
    write(copy, kek_path.read_bytes())
    assert FileKms.open(copy).is_development is is_development


def test_a_key_of_before_there_were_two_kinds_is_a_development_key(kek_path: Path) -> None:
    FileKms.create(kek_path)
    write(kek_path, b"paygate-kek-1\n" + kek_path.read_bytes().partition(b"\n")[2])
    assert FileKms.open(kek_path).is_development


def test_wrapping_twice_differs(kms: FileKms) -> None:
    assert kms.wrap(b"a keyset", b"") != kms.wrap(b"a keyset", b"")


def test_other_associated_data_is_refused(kms: FileKms) -> None:
    wrapped = kms.wrap(b"a keyset", b"for you")
    with pytest.raises(KmsError, match="another KEK"):
        kms.unwrap(wrapped, b"for me")


def test_another_kek_is_refused(kms: FileKms, other_kms: FileKms) -> None:
    with pytest.raises(KmsError, match="another KEK"):
        other_kms.unwrap(kms.wrap(b"a keyset", b""), b"")


def test_every_altered_bit_and_every_cut_is_refused(kms: FileKms) -> None:
    wrapped = kms.wrap(b"a keyset", b"")
    altered = [
        wrapped[:at] + bytes([wrapped[at] ^ 1 << bit]) + wrapped[at + 1 :]
        for at in range(len(wrapped))
        for bit in range(8)
    ]
    for bad in altered + [wrapped[:length] for length in range(len(wrapped))]:
        with pytest.raises(KmsError):
            kms.unwrap(bad, b"")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_file_is_private_whatever_the_umask(kek_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        FileKms.create(kek_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(kek_path.stat().st_mode) == 0o600


def test_a_kek_is_never_overwritten(kek_path: Path) -> None:
    FileKms.create(kek_path)
    before = kek_path.read_bytes()
    with pytest.raises(KmsError, match="never overwritten"):
        FileKms.create(kek_path)
    assert kek_path.read_bytes() == before
    assert list(kek_path.parent.iterdir()) == [kek_path]


def test_a_dangling_link_is_not_written_through(kek_path: Path) -> None:
    kek_path.symlink_to(kek_path.parent / "elsewhere")
    with pytest.raises(KmsError, match="never overwritten"):
        FileKms.create(kek_path)


def test_creating_where_there_is_no_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(KmsError, match="No such file or directory"):
        FileKms.create(tmp_path / "absent" / "kek")


def test_opening_never_creates(kek_path: Path) -> None:
    assert "there is no KEK file" in refusal(kek_path)
    assert not kek_path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o660, 0o666, 0o777])
def test_a_file_open_to_others_is_refused(kek_path: Path, mode: int) -> None:
    FileKms.create(kek_path)
    kek_path.chmod(mode)
    assert f"open to others (mode {mode:04o})" in refusal(kek_path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_accepted(kek_path: Path, mode: int) -> None:
    FileKms.create(kek_path)
    kek_path.chmod(mode)
    FileKms.open(kek_path)


def test_every_truncation_is_refused_without_echo(kek_path: Path) -> None:
    FileKms.create(kek_path)
    content = kek_path.read_bytes()
    body = content.split(b"\n")[1].decode()
    for length in range(len(content)):
        write(kek_path, content[:length])
        message = refusal(kek_path)
        assert "malformed or truncated" in message
        assert not any(body[at : at + 8] in message for at in range(len(body) - 8))


def test_every_altered_byte_is_refused(kek_path: Path) -> None:
    FileKms.create(kek_path)
    content = kek_path.read_bytes()
    for at in range(len(content)):
        write(kek_path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert "malformed" in refusal(kek_path)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n\n", b"\xff\x00" * 40, b"-----BEGIN KEY-----\n" * 5]
)
def test_another_file_is_refused(kek_path: Path, content: bytes) -> None:
    write(kek_path, content)
    assert "malformed" in refusal(kek_path)


@pytest.mark.parametrize("keyset", [b"", b"junk", tink_keysets.new_keyset(KeyKind.INDEX)])
def test_a_well_formed_file_with_the_wrong_keyset_is_refused(kek_path: Path, keyset: bytes) -> None:
    body = base64.b64encode(keyset).decode()
    write(kek_path, f"paygate-kek-1\n{body}\n{zlib.crc32(keyset):08x}\n".encode())
    assert "malformed" in refusal(kek_path)


def test_a_huge_file_is_refused(kek_path: Path) -> None:
    write(kek_path, b"x" * (MAX_FILE_BYTES + 1))
    assert "too large" in refusal(kek_path)


def test_a_directory_is_refused(kek_path: Path) -> None:
    kek_path.mkdir(mode=0o700)
    assert "not a regular file" in refusal(kek_path)


def test_a_named_pipe_is_refused_and_not_waited_for(kek_path: Path) -> None:
    os.mkfifo(kek_path, 0o600)
    assert "not a regular file" in refusal(kek_path)


def test_a_path_through_a_file_is_refused(kek_path: Path) -> None:
    kek_path.touch()
    assert "cannot read" in refusal(kek_path / "kek")


def test_a_kms_is_opened_by_its_address(tmp_path: Path) -> None:
    path = tmp_path / "a dévelopment %41 kek"
    wrapped = FileKms.create(path).wrap(b"a keyset", b"")
    for uri in (path.as_uri(), path.as_uri().replace("file://", "file:")):
        assert open_kms(uri).unwrap(wrapped, b"") == b"a keyset"


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("", "no scheme"),
        ("/etc/kek", "no scheme"),
        ("://x", "no scheme"),
        ("FILE:/x", "no scheme"),
        ("azure-kms://hunter2@vault.example/keys/paygate", "scheme azure-kms:"),
        ("vault://hunter2@vault/transit/keys/paygate", "scheme vault:"),
    ],
)
def test_another_scheme_is_refused_and_names_ours(uri: str, found: str) -> None:
    with pytest.raises(
        KmsError, match=f"{found}; supported: file:, hcvault:, aws-kms:, gcp-kms:"
    ) as caught:
        open_kms(uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "file:",
        "file:kek",
        "file://host/kek",
        "file:/kek?mode=1",
        "file:/kek#1",
        "file:/k%00",
        "file:/%ff",
        "file://[/kek",
    ],
)
def test_a_file_address_must_be_one_absolute_path(uri: str) -> None:
    with pytest.raises(KmsError, match="a file: KMS address"):
        open_kms(uri)

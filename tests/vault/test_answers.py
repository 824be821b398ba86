"""What a real server is not made to answer; and the files that an address names."""

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paygate.crypto.kms import KmsError, open_kms
from tests.vault.scripted import HANG_UP, SILENCE, Answer, Asked, ScriptedVault, data, fault

GOOD_KEY = data(
    type="aes256-gcm96",
    derived=False,
    exportable=False,
    deletion_allowed=False,
    latest_version=1,
    keys={"1": 1},
)
KEYSET = b"a keyset of hunter2's"
WRAPPED = b"vault:v1:" + base64.b64encode(KEYSET)
OPENED = data(plaintext=base64.b64encode(KEYSET).decode())


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[ScriptedVault]:
    server = ScriptedVault(tmp_path, lambda _: OPENED)
    yield server
    server.stop()


def unwrap(vault: ScriptedVault) -> bytes:
    return open_kms(vault.address, patience_seconds=0).unwrap(WRAPPED, b"")


def refusal(vault: ScriptedVault) -> str:
    with pytest.raises(KmsError) as refused:
        unwrap(vault)
    return str(refused.value)


def ignorant(asked: Asked) -> Answer:
    """As of before associated data: it is left out, and nothing is said."""
    if "/keys/" in asked.path:
        return GOOD_KEY
    if "/encrypt/" in asked.path:
        return data(ciphertext=f"vault:v1:{asked.body['plaintext']}")
    return data(plaintext=asked.body["ciphertext"].removeprefix("vault:v1:"))


def test_one_that_ignores_associated_data_is_refused(vault: ScriptedVault) -> None:
    vault.answer = ignorant
    with pytest.raises(KmsError, match="knows no associated data"):
        open_kms(vault.address, patience_seconds=0).wrap(KEYSET, b"for you")


@pytest.mark.parametrize(
    ("encrypted", "words"),
    [
        (data(ciphertext="hunter2"), "does not look like it"),
        (data(ciphertext="vault:v1:AAAA"), "knows no associated data"),
        (data(), "another shape"),
    ],
)
def test_what_was_not_encrypted_is_not_kept(
    vault: ScriptedVault, encrypted: Answer, words: str
) -> None:
    vault.answer = lambda asked: encrypted if "/encrypt/" in asked.path else ignorant(asked)
    with pytest.raises(KmsError, match=words):
        open_kms(vault.address, patience_seconds=0).wrap(KEYSET, b"for you")


def test_what_does_not_open_again_is_not_kept(vault: ScriptedVault) -> None:
    def forgetful(asked: Asked) -> Answer:
        if asked.path.endswith("/decrypt/k"):
            known = base64.b64decode(asked.body["associated_data"]) == b"for you"
            return OPENED if known else fault(400, "cipher: message authentication failed")
        return ignorant(asked)

    vault.answer = forgetful
    kms = open_kms(vault.address, patience_seconds=0)
    assert kms.wrap(KEYSET, b"for you").startswith(b"vault:v1:")
    with pytest.raises(KmsError, match="does not open what it encrypted"):
        kms.wrap(b"another keyset", b"for you")


def test_one_that_is_away_is_asked_again(vault: ScriptedVault) -> None:
    answers = iter([fault(503, "Vault is sealed"), fault(429), HANG_UP, fault(500), OPENED])
    vault.answer = lambda _: next(answers)
    assert open_kms(vault.address).unwrap(WRAPPED, b"") == KEYSET
    assert len(vault.asked) == 5


@pytest.mark.parametrize("answer", [fault(400), fault(403, "permission denied"), fault(404)])
def test_one_that_says_no_is_not(vault: ScriptedVault, answer: Answer) -> None:
    vault.answer = lambda _: answer
    with pytest.raises(KmsError):
        open_kms(vault.address).unwrap(WRAPPED, b"")
    assert len(vault.asked) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fault(307), "sends us to another node"),
        (fault(418), "it answered 418"),
        (fault(503), "it is sealed, or in maintenance"),
        (fault(429), "it is busy"),
        (HANG_UP, "ended the conversation"),
        (SILENCE, "did not answer in time"),
        ((200, b"hunter2"), "another shape"),
        ((200, b"[]"), "another shape"),
        ((200, b'{"data": {"plaintext": 1}}'), "another shape"),
        ((200, b'{"data": {"plaintext": "\xff"}}'), "another shape"),
        ((200, b'{"\xff": 1}'), "another shape"),
        ((200, b'{"data": ' + b"[" * 20_000), "another shape"),
        ((500, b'{"errors": ["\xff"]}'), "it answered 500"),
        ((400, b'{"errors": ' + b"[" * 20_000), "does not take what it was sent"),
        (data(plaintext="hunter2!"), "is not base64"),
        ((200, b" " * 70_000), "too large"),
        ((403, b"<html>hunter2"), "the token may not do that"),
    ],
)
def test_other_answers_are_one_clear_error(
    vault: ScriptedVault, answer: Answer, words: str
) -> None:
    vault.answer = lambda _: answer
    said = refusal(vault)
    assert words in said
    assert "hunter2" not in said


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "written",
    [
        HEAD + b'Content-Length: 500\r\n\r\n{"data": {}}',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhunter2",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        HEAD + b"A: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 hunter2\r\n\r\n",
        b"hunter2",
    ],
    ids=["cut", "less than nothing", "no size", "too many headers", "no status", "no HTTP"],
)
def test_what_is_no_whole_answer_may_come_later(vault: ScriptedVault, written: bytes) -> None:
    vault.raw = iter([written])
    assert refusal(vault).endswith("ended the conversation")


def test_an_answer_that_drips_has_its_time(vault: ScriptedVault) -> None:
    """Each byte comes soon, and the last one never."""
    vault.raw = itertools.chain([HEAD + b"Content-Length: 60000\r\n\r\n"], itertools.repeat(b" "))
    assert "did not answer in time" in refusal(vault)


@pytest.mark.parametrize("made", [10**18, 10**40, -(10**14)])
def test_a_key_of_no_time_is_none(vault: ScriptedVault, made: int) -> None:
    vault.answer = lambda _: (200, GOOD_KEY[1].replace(b'{"1": 1}', b'{"1": %d}' % made))
    with pytest.raises(KmsError, match="another shape"):
        open_kms(vault.address, patience_seconds=0).wrap(KEYSET, b"")


def test_a_token_goes_nowhere_else(vault: ScriptedVault, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = ScriptedVault(tmp_path / "other", lambda _: OPENED)
    try:
        port = other.address.split("/")[2]
        vault.answer = lambda _: (307, f"https://{port}/v1/transit/decrypt/k".encode())
        refusal(vault)
        assert not other.asked
    finally:
        other.stop()


def test_what_it_says_back_is_not_repeated(vault: ScriptedVault) -> None:
    def echo(asked: Asked) -> Answer:
        if "/keys/" in asked.path:
            return GOOD_KEY
        return fault(400, json.dumps(asked.body), str(asked.token))

    vault.answer = echo
    with pytest.raises(KmsError) as refused:
        open_kms(vault.address, patience_seconds=0).wrap(KEYSET, b"for you")
    said = str(refused.value)
    assert "it does not take what it was sent" in said
    assert base64.b64encode(KEYSET).decode() not in said
    assert "s.scripted" not in said


def test_a_token_is_read_for_each_call(vault: ScriptedVault, tmp_path: Path) -> None:
    kms = open_kms(vault.address, patience_seconds=0)
    kms.unwrap(WRAPPED, b"")
    (tmp_path / "token").write_text("  s.renewed\n\n")
    kms.unwrap(WRAPPED, b"")
    assert [asked.token for asked in vault.asked] == ["s.scripted", "s.renewed"]


def opened(path: Path, mode: int) -> None:
    path.chmod(mode)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "No such file or directory"),
        (lambda path: opened(path, 0o604), "open to others (mode 0604)"),
        (lambda path: opened(path, 0o660), "open to others (mode 0660)"),
        (lambda path: path.write_text(""), "there is no token"),
        (lambda path: path.write_text("s.one\ns.two"), "there is no token"),
        (lambda path: path.write_text("s.\nX-Evil: 1"), "there is no token"),
        (lambda path: path.write_bytes(b"s.\xff"), "there is no token"),
        (lambda path: path.write_text("s" * 9_000), "there is no token"),
        (lambda path: replaced(path, lambda p: os.mkfifo(p, 0o600)), "there is no token"),
        (lambda path: replaced(path, lambda p: p.mkdir(0o700)), "Is a directory"),
    ],
)
def test_a_token_that_cannot_be_taken(
    vault: ScriptedVault, tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(tmp_path / "token")
    assert words in refusal(vault)
    assert not vault.asked


def test_a_group_may_read_the_token(vault: ScriptedVault, tmp_path: Path) -> None:
    (tmp_path / "token").chmod(0o640)
    assert unwrap(vault) == KEYSET


def test_authorities_that_are_none(vault: ScriptedVault, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hunter2")
    assert refusal(vault) == f"no authorities can be read from {tmp_path}/ca.pem"


@pytest.mark.parametrize(
    "address",
    [
        "hcvault:",
        "hcvault:/transit/keys/k?token_file=/t",
        "hcvault://vault",
        "hcvault://vault/transit/keys/k",
        "hcvault://vault/transit/k?token_file=/t",
        "hcvault://vault/keys/k?token_file=/t",
        "hcvault://vault//keys/k?token_file=/t",
        "hcvault://vault/transit/keys/?token_file=/t",
        "hcvault://vault/transit/keys/k/?token_file=/t",
        "hcvault://vault/transit/keys/k/hunter2?token_file=/t",
        "hcvault://vault/../keys/k?token_file=/t",
        "hcvault://vault/trans it/keys/k?token_file=/t",
        "hcvault://vault/transit/keys/%6b?token_file=/t",
        "hcvault://vault/transit/keys/k?token_file=t",
        "hcvault://vault/transit/keys/k?token_file=",
        "hcvault://vault/transit/keys/k?token_file=/%00",
        "hcvault://vault/transit/keys/k?token_file=/%ff",
        "hcvault://vault/transit/keys/k?token_file=/t&token_file=/t",
        "hcvault://vault/transit/keys/k?token_file=/t&token=hunter2",
        "hcvault://vault/transit/keys/k?token_file=/t&ca_file=ca.pem",
        "hcvault://vault/transit/keys/k?token_file=/t#hunter2",
        "hcvault://hunter2@vault/transit/keys/k?token_file=/t",
        "hcvault://u:hunter2@vault/transit/keys/k?token_file=/t",
        "hcvault://vault:hunter2/transit/keys/k?token_file=/t",
        "hcvault://vault:99999/transit/keys/k?token_file=/t",
        "hcvault://[/transit/keys/k?token_file=/t",
        "hcvault://va_ult/transit/keys/k?token_file=/t",
    ],
)
def test_another_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(KmsError, match=r"an hcvault: KMS address is hcvault://HOST") as refused:
        open_kms(address)
    assert "hunter2" not in str(refused.value)

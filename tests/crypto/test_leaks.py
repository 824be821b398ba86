"""Nothing that holds a secret shows it: not printed, not pickled, not encoded, not in an error."""

import base64
import copy
import pickle
import secrets
import traceback
from collections.abc import Callable
from typing import cast

import msgspec
import pytest

from paygate.crypto import keyring as keyrings
from paygate.crypto.api_keys import KeyMode, KeySide, new_api_key, parse_api_key
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.keyring import Keyring, Purpose
from paygate.crypto.kms import FileKms, KmsError
from paygate.crypto.seal import SealedPlace, Sealer, SealError
from paygate.crypto.secret import Secret

PLACE = SealedPlace("default", "payment_intents", "pi_1", 1)
CANARY = "canary-of-" + secrets.token_hex(8)
NEW_KEY = new_api_key(KeyMode.LIVE, KeySide.SECRET, "key_" + "0" * 26, secrets.token_bytes)


@pytest.fixture(scope="session")
def holders(kms: FileKms, known_keyring: Keyring) -> list[object]:
    return [
        kms,
        known_keyring,
        Sealer(known_keyring),
        BlindIndex(known_keyring),
        CredentialHasher(known_keyring),
        Secret(CANARY),
        NEW_KEY,
        parse_api_key(NEW_KEY.key.reveal()),
    ]


@pytest.fixture(scope="session")
def needles(kms: FileKms, record_key: bytes, index_key: bytes) -> list[str]:
    """Every spelling in which a secret might show."""
    kek = base64.b64decode(kms.path.read_bytes().split(b"\n")[1])
    keys = [record_key, index_key, kek]
    text = NEW_KEY.key.reveal()
    return [
        CANARY,
        text[39:71],
        *(key.hex() for key in keys),
        *(repr(key)[2:-1] for key in keys),
        *(base64.b64encode(key).decode() for key in keys),
    ]


def test_printing_shows_nothing(holders: list[object], needles: list[str]) -> None:
    for holder in holders:
        for shown in (
            repr(holder),
            str(holder),
            f"{holder}",
            repr([holder]),
            f"{holder!s:>99}"[:0],
        ):
            assert not any(needle in shown for needle in needles)


def test_pickling_and_copying_are_refused(holders: list[object]) -> None:
    for holder in holders:
        with pytest.raises(TypeError, match=r"pickle") as caught:
            pickle.dumps(holder)
        assert CANARY not in str(caught.value)
        with pytest.raises(TypeError, match=r"pickle"):
            copy.deepcopy(holder)


def test_encoding_is_refused(holders: list[object]) -> None:
    for holder in holders:
        with pytest.raises((TypeError, msgspec.MsgspecError)):
            msgspec.json.encode(holder)


def test_what_may_be_shown_is_shown() -> None:
    assert NEW_KEY.hint in repr(NEW_KEY)
    assert NEW_KEY.key_id in repr(parse_api_key(NEW_KEY.key.reveal()))


def test_two_secrets_are_never_equal_by_operator() -> None:
    assert Secret("a") != Secret("a")


def shown_by(act: Callable[[], object], expected: type[Exception]) -> str:
    with pytest.raises(expected) as caught:
        act()
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "wrong",
    [CANARY, [CANARY], {CANARY: 1}, memoryview(CANARY.encode())],
    ids=["text", "list", "mapping", "memory"],
)
def test_a_plaintext_of_the_wrong_type_is_not_repeated(
    known_keyring: Keyring, kms: FileKms, wrong: object
) -> None:
    """Tink's binding quotes its arguments when it refuses them; we must not."""
    data = cast("bytes", wrong)
    sealer = Sealer(known_keyring)
    assert CANARY not in shown_by(lambda: sealer.seal(PLACE, data), SealError)
    assert CANARY not in shown_by(lambda: sealer.open(PLACE, data), SealError)
    assert CANARY not in shown_by(lambda: kms.wrap(data, b""), KmsError)
    assert CANARY not in shown_by(lambda: kms.unwrap(data, b""), KmsError)


def test_a_failed_opening_shows_nothing(known_keyring: Keyring, needles: list[str]) -> None:
    sealer = Sealer(known_keyring)
    sealed = sealer.seal(PLACE, CANARY.encode())
    shown = shown_by(lambda: sealer.open(PLACE._replace(version=2), sealed), SealError)
    assert not any(needle in shown for needle in needles)
    assert sealed.hex() not in shown


def test_a_failed_edit_shows_nothing(
    kms: FileKms, installation: str, known_wrapped: dict[str, bytes], needles: list[str]
) -> None:
    for purpose in Purpose:
        stored = known_wrapped[purpose.value]
        for act in (
            lambda s=stored, p=purpose: keyrings.promote_key(kms, installation, p, s, 7),
            lambda s=stored, p=purpose: keyrings.add_key(kms, "inst_other", p, s),
        ):
            shown = shown_by(act, keyrings.KeyringError)
            assert not any(needle in shown for needle in needles)

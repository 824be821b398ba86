"""A key-encryption key in a real server of Vault's API."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paygate.crypto.keyring import KeyringError, generate_keyring, load_keyring
from paygate.crypto.kms import FileKms, Kms, KmsError, open_kms
from paygate.crypto.vault_http import TransitAddress
from paygate.crypto.vault_transit import Transit
from paygate.doctor.checks import diagnose
from paygate.doctor.examine import examine
from paygate.doctor.finding import Verdict
from paygate.domain.access.roles import Actor, Caller
from paygate.flows.encryption.rewrap import rewrap_keysets
from paygate.settings import Looked, Settings, load
from paygate.storage.records import Records
from paygate.wiring.keys import open_records
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context
from tests.tls_front import TEST_KEY
from tests.vault.server import VaultServer

KEYSET, PLACE = b"a keyset of hunter2's", b"for you"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    server = VaultServer(tmp_path_factory.mktemp("vault"))
    yield server
    server.stop()


@pytest.fixture
def kms(vault: VaultServer) -> Kms:
    return at_once(vault.address())


def at_once(address: str) -> Kms:
    """Without patience."""
    return open_kms(address, patience_seconds=0)


def refusal_to_wrap(address: str) -> str:
    with pytest.raises(KmsError) as refused:
        at_once(address).wrap(KEYSET, PLACE)
    return str(refused.value)


def refusal_to_unwrap(kms: Kms, wrapped: bytes, place: bytes = PLACE) -> str:
    with pytest.raises(KmsError) as refused:
        kms.unwrap(wrapped, place)
    return str(refused.value)


def test_what_is_wrapped_opens(vault: VaultServer, kms: Kms) -> None:
    wrapped = kms.wrap(KEYSET, PLACE)
    assert wrapped.startswith(b"vault:v1:")
    assert at_once(vault.address()).unwrap(wrapped, PLACE) == KEYSET
    assert not kms.is_development


def test_a_keyset_of_any_bytes_and_of_the_largest_size(kms: Kms) -> None:
    for keyset in (b"", bytes(range(256)) * 16):
        assert kms.unwrap(kms.wrap(keyset, b""), b"") == keyset


def test_other_associated_data_is_refused(kms: Kms) -> None:
    wrapped = kms.wrap(KEYSET, PLACE)
    for place in (b"for me", b"", PLACE + b"?"):
        assert "another installation or purpose" in refusal_to_unwrap(kms, wrapped, place)


def test_another_key_is_refused(vault: VaultServer, kms: Kms) -> None:
    vault.make_key("other")
    other = at_once(vault.address("other", vault.token_file(vault.root)))
    wrapped = other.wrap(KEYSET, PLACE)
    assert "wrapped under another key" in refusal_to_unwrap(at_once(vault.address()), wrapped)


@pytest.mark.parametrize("cut", [slice(0), slice(3), slice(-1), slice(-8), slice(9)])
def test_what_is_cut_is_refused(kms: Kms, cut: slice) -> None:
    assert refusal_to_unwrap(kms, kms.wrap(KEYSET, PLACE)[cut])


def test_what_is_altered_is_refused(kms: Kms) -> None:
    wrapped = kms.wrap(KEYSET, PLACE)
    for at in range(9, len(wrapped) - 3):
        other = b"A" if wrapped[at : at + 1] != b"A" else b"B"
        altered = wrapped[:at] + other + wrapped[at + 1 :]
        assert "altered" in refusal_to_unwrap(kms, altered)


def test_what_another_kms_wrapped_is_told(kms: Kms) -> None:
    for wrapped in (b"\x01\x00\xff" * 30, b"vault:v0:AAAA", b"vault:v1:A A"):
        assert refusal_to_unwrap(kms, wrapped) == "it was wrapped by another KMS than Vault"


def test_a_key_that_is_not_there_is_not_made(vault: VaultServer) -> None:
    """The engine would make one, for a token that may create."""
    refused = refusal_to_wrap(vault.address("paygatte", vault.token_file(vault.root)))
    assert "there is no such key" in refused
    assert "paygatte" not in vault.ask("LIST", "transit/keys")["keys"]
    wrapped = at_once(vault.address()).wrap(KEYSET, PLACE)
    absent = at_once(vault.address("paygatte", vault.token_file(vault.root)))
    assert "there is no such key" in refusal_to_unwrap(absent, wrapped)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"derived": True}, "derived"),
        ({"type": "aes128-gcm96"}, "of type aes128-gcm96"),
        ({"type": "chacha20-poly1305"}, "of type chacha20-poly1305"),
        ({"type": "rsa-2048"}, "of type rsa-2048"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(
    vault: VaultServer, options: dict[str, object], found: str
) -> None:
    name = f"unfit-{found.rsplit(maxsplit=1)[-1]}"
    vault.make_key(name, **options)
    refused = refusal_to_wrap(vault.address(name, vault.token_file(vault.root)))
    assert refused == f"key {name} of Vault is {found}; wanted: aes256-gcm96, not derived"


def test_a_mount_that_is_not_there(vault: VaultServer) -> None:
    address = vault.address(token_file=vault.token_file(vault.root))
    assert "no transit engine" in refusal_to_wrap(address.replace("/transit/", "/ns/transit/"))


def test_a_wrong_token_is_told_and_a_new_one_is_taken_up(vault: VaultServer) -> None:
    kms, wrapped = at_once(vault.address()), at_once(vault.address()).wrap(KEYSET, PLACE)
    for wrong in ("s.hunter2", vault.token(policies=["default"])):
        vault.token_file(wrong)
        refused = refusal_to_unwrap(kms, wrapped)
        assert "the token may not do that" in refused
        assert wrong not in refused
    vault.token_file()
    assert kms.unwrap(wrapped, PLACE) == KEYSET


def test_a_token_that_was_revoked(vault: VaultServer) -> None:
    token = vault.token()
    kms = at_once(vault.address(token_file=vault.token_file(token)))
    wrapped = kms.wrap(KEYSET, PLACE)
    vault.ask("POST", "auth/token/revoke", {"token": token})
    assert "the token may not do that" in refusal_to_unwrap(kms, wrapped)


def test_a_sealed_server_is_told_and_opens_again(vault: VaultServer, kms: Kms) -> None:
    wrapped = kms.wrap(KEYSET, PLACE)
    vault.seal()
    try:
        assert refusal_to_unwrap(kms, wrapped).endswith(": it is sealed")
    finally:
        vault.unseal()
    assert kms.unwrap(wrapped, PLACE) == KEYSET


def test_versions_of_the_key(vault: VaultServer) -> None:
    """Rotated in Vault, the old version opens, and is given up once all is wrapped anew."""
    vault.make_key("turning")
    kms = at_once(vault.address("turning", vault.token_file(vault.root)))
    old = kms.wrap(KEYSET, PLACE)
    vault.ask("POST", "transit/keys/turning/rotate")
    assert kms.unwrap(old, PLACE) == KEYSET
    new = kms.wrap(kms.unwrap(old, PLACE), PLACE)
    assert new.startswith(b"vault:v2:")
    vault.ask("POST", "transit/keys/turning/config", {"min_decryption_version": 2})
    assert kms.unwrap(new, PLACE) == KEYSET
    assert "min_decryption_version" in refusal_to_unwrap(kms, old)
    assert "does not have" in refusal_to_unwrap(kms, new.replace(b"v2", b"v3"))


def test_a_certificate_of_nobody_known_is_refused(vault: VaultServer) -> None:
    address = vault.address().split("&", maxsplit=1)[0]
    assert "is not trusted: " in refusal_to_wrap(address)


def test_a_certificate_for_another_name_is_refused(vault: VaultServer) -> None:
    refused = refusal_to_wrap(vault.address().replace("localhost", "127.0.0.1"))
    assert "is not trusted: IP address mismatch" in refused


def test_nobody_is_there(vault: VaultServer, tmp_path: Path) -> None:
    address = vault.address().replace(str(vault.port), "1")
    assert "cannot be reached: Connection refused" in refusal_to_wrap(address)


def test_an_error_shows_no_secret(vault: VaultServer) -> None:
    token = vault.token(policies=["default"])
    for name in ("paygate", "paygatte"):
        refused = refusal_to_wrap(vault.address(name, vault.token_file(token)))
        assert not re.search("hunter2|token_file|" + re.escape(token), refused)


def test_what_is_known_of_key_and_token(vault: VaultServer) -> None:
    transit = Transit(TransitAddress.parse(vault.address()), patience_seconds=0)
    key, token = transit.key(), transit.token()
    assert (key.type, key.derived, key.exportable, key.latest_version) == (
        "aes256-gcm96",
        False,
        False,
        1,
    )
    assert datetime.now(UTC) - key.made_at < timedelta(hours=1)
    assert token.lifetime == timedelta(hours=1)
    assert token.lasts is not None
    assert token.lasts <= token.lifetime
    assert (token.is_root, token.lacking) == (False, ())
    vault.token_file(vault.root)
    token = transit.token()
    assert (token.is_root, token.lasts, token.lacking) == (True, None, ())
    vault.token_file(vault.token(policies=["default"]))
    assert transit.token().lacking == ("encrypt", "decrypt", "keys")


def settings_at(dsn: str, kek: str) -> Settings:
    return load(
        {
            "PAYGATE_DATABASE_URL": dsn,
            "PAYGATE_KEK": kek,
            "PAYGATE_STRIPE_API_KEY": TEST_KEY,
            "PAYGATE_STRIPE_API_BASE": "http://127.0.0.1:1",
            "PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_1",
        }
    )


async def move(before: Settings, after: Settings) -> None:
    caller = Caller(Actor("command", name="test"), "default", "req_1")
    async with open_context(before, name="test") as ctx:
        await rewrap_keysets(ctx, caller, at_once(after.require("kek")))


async def test_an_installation_lives_under_it(vault: VaultServer, dsn: str) -> None:
    """It is made, and opened again; without the server it is not, and nothing is overwritten."""
    settings = settings_at(dsn, vault.address())
    await prepare_database(settings)
    assert isinstance(await open_records(settings), Records)
    vault.token_file("s.wrong")
    with pytest.raises(KeyringError, match=r"records does not open: .*the token may not do that"):
        await open_records(settings)
    with pytest.raises(KeyringError, match="the token may not do that"):
        await prepare_database(settings)
    vault.token_file()
    assert isinstance(await open_records(settings), Records)


async def test_an_installation_moves_to_it_and_within_it(
    vault: VaultServer, dsn: str, tmp_path: Path
) -> None:
    """From a file to Vault, there to the key's next version, and back; no record is touched."""
    vault.make_key("moving")
    in_file = settings_at(dsn, FileKms.create(tmp_path / "kek").path.as_uri())
    in_vault = settings_at(dsn, vault.address("moving", vault.token_file(vault.root)))
    elsewhere = settings_at(dsn, FileKms.create(tmp_path / "other").path.as_uri())
    await prepare_database(in_file)
    await move(in_file, in_vault)
    with pytest.raises(KeyringError, match="wrapped under another KEK"):
        await open_records(in_file)
    vault.ask("POST", "transit/keys/moving/rotate")
    await move(in_vault, in_vault)
    vault.ask("POST", "transit/keys/moving/config", {"min_decryption_version": 2})
    assert isinstance(await open_records(in_vault), Records)
    await move(in_vault, elsewhere)
    assert isinstance(await open_records(elsewhere), Records)
    with pytest.raises(KeyringError, match="wrapped by another KMS than Vault"):
        await open_records(in_vault)


async def test_the_doctor_looks_at_it(vault: VaultServer, dsn: str) -> None:
    settings = settings_at(dsn, vault.address())
    await prepare_database(settings)
    looked = Looked(settings, {}, ())
    found = {finding.check: finding for finding in diagnose(await examine(looked))}
    for name in ("kek", "kek_place", "kek_age", "kek_token", "keys"):
        assert found[name].verdict is Verdict.OK, found[name]
    vault.seal()
    try:
        sealed = {finding.check: finding for finding in diagnose(await examine(looked))}
    finally:
        vault.unseal()
    for name in ("kek", "keys"):
        assert sealed[name].verdict is Verdict.WRONG
        assert "it is sealed" in sealed[name].message


def test_a_keyring_is_for_one_installation_and_purpose(kms: Kms) -> None:
    wrapped = generate_keyring(kms, "in_1")
    assert load_keyring(kms, "in_1", wrapped).installation == "in_1"
    with pytest.raises(KeyringError, match="another installation or purpose"):
        load_keyring(kms, "in_2", wrapped)
    with pytest.raises(KeyringError, match="keyset for index does not open"):
        load_keyring(kms, "in_1", {**wrapped, "index": wrapped["records"]})

"""The key-encryption key: made by command, outside of the data directory, and who takes which."""

import contextlib
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from paygate.crypto.keyring import KeyringError
from paygate.crypto.kms import FileKms
from paygate.settings import Settings, SettingsError, load
from paygate.storage.connections.session import Connection
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context, open_service
from tests.cli.processes import call, is_one_clear_line, run
from tests.gateway import Gateway


def settings(database: str, kek: Path, environment: str) -> Settings:
    """An installation's in live mode, at a provider that is never there."""
    values = {
        "ENVIRONMENT": environment,
        "DATABASE_URL": database,
        "KEK": kek.as_uri(),
        "STRIPE_API_KEY": "sk_live_1",
        "STRIPE_WEBHOOK_SECRETS": "whsec_1",
        "STRIPE_API_BASE": "https://127.0.0.1:1",
    }
    return load({f"PAYGATE_{name}": value for name, value in values.items()}, data=kek.parent)


def test_it_is_made_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    ran = run("keys", "create-kek", "kek", cwd=tmp_path)
    path = tmp_path / "kek"
    assert (ran.status, ran.err) == (0, "")
    assert f"PAYGATE_KEK={path.as_uri()}\n" in ran.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not FileKms.open(path).is_development
    assert path.read_text().splitlines()[1] not in ran.out
    before = path.read_bytes()
    is_one_clear_line(run("keys", "create-kek", "kek", cwd=tmp_path), str(path), "exists")
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", ["option", "environment", "default", "link"])
def test_it_does_not_lie_in_the_data_directory(way: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (tmp_path / "beside").symlink_to(data / "keys")
    place = {"link": tmp_path / "beside", "default": Path("data")}.get(way, data)
    with contextlib.chdir(tmp_path):
        ran = call(
            *("keys", "create-kek", str(place / "kek")),
            *(("--data", str(data)) if way == "option" else ()),
            environ={"PAYGATE_DATA": str(data)} if way == "environment" else None,
        )
    is_one_clear_line(ran, "is in the data directory", "another place")
    assert not list(data.rglob("kek"))


def test_up_makes_a_development_key(running: Gateway) -> None:
    assert FileKms.open(Path(running.ready["data_dir"]) / "kek").is_development


async def test_production_refuses_the_key_that_up_made_wherever_it_lies(
    database: str, tmp_path: Path
) -> None:
    kek = tmp_path / "kek"
    FileKms.create(kek, is_development=True)
    production = settings(database, kek, "production")
    with pytest.raises(SettingsError, match=r"PAYGATE_KEK .*keys create-kek"):
        await prepare_database(production)
    await prepare_database(settings(database, kek, "development"))
    with pytest.raises(SettingsError, match="PAYGATE_KEK"):
        async with open_context(production, name="test"):
            pass


async def test_production_takes_a_key_in_a_file_and_says_so(database: str, tmp_path: Path) -> None:
    kek = tmp_path / "kek"
    FileKms.create(kek)
    warned = {}
    for environment in ("development", "production"):
        gateway_settings = settings(database, kek, environment)
        await prepare_database(gateway_settings)
        with capture_logs() as logs:
            async with open_service(gateway_settings, name="test"):
                pass
        warned[environment] = [e["log_level"] for e in logs if e["event"] == "kek_in_a_file"]
    assert warned == {"development": [], "production": ["warning"]}


async def test_nothing_is_made_under_a_key_that_is_not_the_others(
    database: str, connect: Callable[[], Awaitable[Connection]], tmp_path: Path
) -> None:
    """In a database of before the audit log's keyset, which `migrate` would make."""
    for name in ("kek", "another"):
        FileKms.create(tmp_path / name)
    await prepare_database(settings(database, tmp_path / "kek", "development"))
    await (await connect()).execute("DELETE FROM keyset WHERE purpose = 'audit'")
    with pytest.raises(KeyringError, match="wrapped under another KEK"):
        await prepare_database(settings(database, tmp_path / "another", "development"))
    right = settings(database, tmp_path / "kek", "development")
    await prepare_database(right)
    async with open_context(right, name="test"):
        pass

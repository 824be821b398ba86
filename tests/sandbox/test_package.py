"""A package apart: shipped beside the gateway, read by nobody who audits the card path."""

import sys
from pathlib import Path
from zipfile import ZipFile

from tests.sandbox.programs import ended

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_both_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    built = ended([*command, "--directory", str(tmp_path)], ROOT)
    assert built.status == 0, built
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as opened:
        shipped = set(opened.namelist())
    for package in ("paygate", "paygate_sandbox"):
        kept = (p for p in (ROOT / "src" / package).rglob("*") if p.is_file())
        ours = {str(p.relative_to(ROOT / "src")) for p in kept if p.suffix != ".pyc"}
        assert {name for name in shipped if name.startswith(f"{package}/")} == ours


def test_the_gateway_starts_without_the_sandbox(tmp_path: Path) -> None:
    modules = "paygate.cli.main, paygate.cli.up, paygate.cli.serve, paygate.cli.worker, sys"
    show = "print(sorted(name for name in sys.modules if name.startswith('paygate_sandbox')))"
    ran = ended([sys.executable, "-P", "-c", f"import {modules}; {show}"], tmp_path)
    assert ran.out == "['paygate_sandbox', 'paygate_sandbox.command']\n", ran


def test_nothing_is_imported_from_the_working_directory(tmp_path: Path) -> None:
    for name in ("typer", "paygate", "aiohttp"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\n")
    ran = ended([sys.executable, "-m", "paygate_sandbox", "--help"], tmp_path)
    assert (ran.status, (tmp_path / "imported").exists()) == (0, False), ran


def test_it_has_one_name() -> None:
    other = "simul" + "ator"  # in two, so that this file passes too
    files = [
        *(
            path
            for name in ("src", "tests", "docs", "examples")
            for path in (ROOT / name).rglob("*")
        ),
        *ROOT.glob("*.*"),
    ]
    texts = {".py", ".md", ".toml", ".js", ".html", ".css", ".sql"}
    named = [p for p in files if p.suffix in texts and other in p.read_text().lower()]
    assert named == []

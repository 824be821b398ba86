"""Every command that README and docs show is run, or says in its block why it is not."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from paygate.cli.main import app
from tests.docs.blocks import BLOCKS, PAGES, ROOT, RUN, SHELL, Block, commands, run
from tests.gateway import Gateway
from tools.bench.__main__ import app as benchmark

LANGUAGES = {*SHELL, "python", "json", "http", "ini", "nginx", "mermaid", "text"}
ELSEWHERE = {"docs/sandbox.md", "docs/stripe.md"}
"""Run by tests of their own."""
NOT_RUN = [
    ("CONTRIBUTING.md", "minutes long; CI is the last line"),
    ("README.md", "stays in the foreground; every test of a whole gateway starts one so"),
    ("README.md", "minutes long; CI is the last line"),
    ("docs/audit.md", "tests/cli/test_audit.py runs it"),
    ("docs/audit.md", "tests/cli/test_audit.py runs it"),
    ("docs/audit.md", "tests/flows/audit_log/test_export.py runs it"),
    ("docs/encryption.md", "it is a gateway's own; tests/cli/test_encryption.py runs it"),
    ("docs/encryption.md", "it is a gateway's own; tests/cli/test_encryption.py runs it"),
    ("docs/encryption.md", "it is a gateway's own; tests/cli/test_encryption.py runs it"),
    ("docs/exports.md", "needs a gateway; tests/cli/test_export.py runs it"),
    ("docs/kms.md", "needs a Vault; tests/vault does the same"),
    ("docs/restores.md", "tells a gateway what did not happen; tests/cli/test_restored.py runs it"),
    *[
        (
            "docs/restores.md",
            "there must be a database to lose; tests/cli/test_restored_elsewhere.py runs it",
        )
    ]
    * 5,
    ("docs/settlement-reports.md", "it reads a file of yours"),
    ("docs/settlement-reports.md", "it reads a file of yours"),
    ("docs/stripe.md", "root"),
    ("docs/stripe.md", "root, and a name in the DNS"),
    ("docs/stripe.md", "root"),
    ("docs/stripe.md", "root and systemd"),
    ("docs/stripe.md", "root, PostgreSQL's superuser and a name in the DNS"),
    ("docs/stripe.md", "a live Stripe account"),
    ("docs/stripe.md", "root and systemd"),
    (
        "examples/checkout/README.md",
        "stays in the foreground; tests/examples/test_checkout.py runs it",
    ),
]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the pages call with curl")


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES


def test_nothing_is_left_out_but_what_is_listed_here() -> None:
    assert [(b.page, b.excuse) for b in BLOCKS if b.excuse is not None] == NOT_RUN
    assert {b.page for b in RUN} == {*OF_A_GATEWAY, *ELSEWHERE}


def test_every_test_that_an_excuse_names_is_there() -> None:
    named = re.findall(r"tests/\S+\.py", " ".join(excuse for _, excuse in NOT_RUN))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_paygate_command_that_is_shown_exists_with_its_options() -> None:
    shown = [(page, words[1:]) for page, words in commands() if Path(words[0]).name == "paygate"]
    assert len(shown) > 40
    for page, words in shown:
        command, rest = get_command(app), list(words)
        if rest[:1] == ["bench"]:  # a checkout's tool, which takes its options as they are
            command, rest = get_command(benchmark), rest[1:]
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]  # type: ignore[attr-defined]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        assert not hasattr(command, "commands") or set(rest) <= known, (page, words)
        assert {word for word in rest if word.startswith("-")} <= known, (page, words)


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {words[-1] for _, words in commands() if words[0] == "make"}
    assert {"demo", "test", "check", "bench", "install"} <= shown <= targets


def test_the_readme_needs_no_program_that_it_does_not_name() -> None:
    """Its own functions, and what lies in the checkout, need no name."""
    blocks = [block for block in BLOCKS if block.page == "README.md" and block.language in SHELL]
    own = {name for b in blocks for name in re.findall(r"^(\w+)\(\)", b.script, re.MULTILINE)}
    used = {words[0] for page, words in commands() if page == "README.md"}
    programs = {word for word in used - own if "/" not in word and word != "paygate"}
    assert programs == {"make", "curl"}
    prose = (ROOT / "README.md").read_text().split("```")[::2]
    assert [p for p in programs if not re.search(rf"\b{p}\b", " ".join(prose))] == []


def test_every_page_that_a_page_points_to_is_there() -> None:
    missing = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
        if not (ROOT / page).parent.joinpath(target).exists()
    ]
    assert missing == []


OF_A_GATEWAY = [
    *("README.md", "docs/api-keys.md", "docs/cli.md", "docs/client-side.md"),
    "docs/reconciliation.md",
]


@needs_curl
@pytest.mark.parametrize("page", OF_A_GATEWAY)
async def test_a_page_is_done_as_it_says(page: str, gateway: Gateway, checkout: Path) -> None:
    """In a checkout, beside a gateway that `paygate up --ready-file ready.json` has started."""
    shutil.copy(gateway.log.with_name("ready.json"), checkout)
    blocks = [block for block in RUN if block.page == page]
    environ = {"PAYGATE_DATA": gateway.ready["data_dir"]}
    printed = await asyncio.to_thread(run, blocks, checkout, environ)
    for block, output in zip(blocks, printed, strict=True):
        shows(block, output)
    if page == "README.md":
        assert printed[-1].strip() == "succeeded"


def shows(block: Block, output: str) -> None:
    """Each line that the page shows is printed, in that order; `...` stands for anything."""
    rest = iter(output.splitlines())
    for line in block.shown:
        pattern = ".*".join(map(re.escape, line.rstrip().split("...")))
        assert any(re.fullmatch(pattern, printed.rstrip()) for printed in rest), line


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This checkout, where `make` finds all that it needs installed."""
    folder = tmp_path / "paygate"
    venv = folder / ".venv"
    venv.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name not in {".venv", "data", "paygate.toml", "ready.json"}:
            (folder / path.name).symlink_to(path)
    for path in Path(sys.prefix).iterdir():
        if path.name not in {".runtime", ".dev"}:
            (venv / path.name).symlink_to(path)
    for made in (".runtime", ".dev"):
        (venv / made).touch()
    return folder

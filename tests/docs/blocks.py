"""The pages that people read: their fenced blocks, the commands in them, a shell to run these."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
SHELL = ("sh", "console")
"""What somebody types: as a script, or with `$ ` before it and what it prints below it."""
NOT_RUN = " no-test: "
_FENCE = re.compile(
    r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$|^## (?P<section>[^\n]*)$", re.MULTILINE | re.DOTALL
)
_NEXT = "\x1e"
SECONDS = 120


class Block(NamedTuple):
    """A fenced block; `section` is the heading that it stands below."""

    page: str
    section: str
    language: str
    excuse: str | None
    """Why nobody runs it here, as the block itself says."""
    text: str

    @property
    def script(self) -> str:
        """What is typed."""
        if self.language != "console":
            return self.text
        lines = self.text.splitlines()
        return "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))

    @property
    def shown(self) -> list[str]:
        """What is said to be printed."""
        lines = self.text.splitlines() if self.language == "console" else []
        return [line for line in lines if not line.startswith("$ ") and line.strip(" .")]


def blocks_of(page: str) -> Iterator[Block]:
    """A page's blocks, in their order."""
    section = ""
    for found in _FENCE.finditer((ROOT / page).read_text()):
        if found["section"] is not None:
            section = found["section"]
            continue
        language, marked, excuse = found["info"].partition(NOT_RUN)
        yield Block(page, section, language, excuse if marked else None, found["text"])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [block for block in BLOCKS if block.language in SHELL and block.excuse is None]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command that a page shows, in a block or in its text: the page, and the words."""
    for block in BLOCKS:
        if block.language in SHELL:
            for line in block.script.replace("\\\n", " ").splitlines():
                yield from ((block.page, words) for words in _commands_in(line))
    for page in PAGES:
        text = _FENCE.sub("", (ROOT / page).read_text())
        for code in re.findall(r"`((?:paygate|make) [^`]+)`", text):
            yield from ((page, words) for words in _commands_in(code.replace("\n", " ")))


def _commands_in(line: str) -> list[list[str]]:
    """The simple commands of a line, without the variables that are set before them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;<>()&")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for token in lexer:
        if re.fullmatch(r"[|;()&]+|[{}]", token):
            found.append([])
        elif re.fullmatch(r"[<>]+", token):
            continue
        elif found[-1] or not re.match(r"[A-Za-z_]+=", token):
            found[-1].append(token)
    return [words for words in found if words]


def run(blocks: Sequence[Block], cwd: Path, environ: Mapping[str, str]) -> list[str]:
    """Run blocks in one shell, which stops at the first that fails; returns what each printed.

    Of the environment there is what a login shell has, with the `paygate` of this interpreter.
    """
    parts = [f"printf '{_NEXT}'\n{block.script}" for block in blocks]
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *parts])],
        cwd=cwd,
        env=kept | {"PATH": path, "NO_COLOR": "1", "TERM": "dumb"} | dict(environ),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    _, *outputs = done.stdout.split(_NEXT)
    assert done.returncode == 0, f"{blocks[len(outputs) - 1]}\n{done.stdout}\n{done.stderr}"
    return outputs

"""An export, and the verifier of the docs that agrees with it: a hundred lines that know nothing of
ours.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paygate.domain.access.roles import Action
from paygate.flows.audit_log.export import export_audit_log
from paygate.storage.change import Change
from tests.flows.audit_log.log import Log

VERIFIER = Path(__file__).parents[3] / "docs" / "audit" / "verify_export.py"
Lines = list[dict[str, Any]]


async def exported(log: Log, first: int = 1) -> Lines:
    def progress(*_: object) -> None:
        return None

    lines = export_audit_log(log.ctx, log.world.caller, first=first, progress=progress)
    return [json.loads(line) async for line in lines]


def checked(folder: Path, lines: Lines, *more: str) -> tuple[int, str]:
    """What the verifier says of an export."""
    export = folder / "export.jsonl"
    export.write_text("".join(json.dumps(line) + "\n" for line in lines))
    # Isolated, so that nothing but the standard library is there.
    command = [sys.executable, "-I", "-S", "-O", str(VERIFIER), str(export), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_it_can_be_read_at_once() -> None:
    lines = VERIFIER.read_text().splitlines()
    assert len(lines) <= 100
    assert [line for line in lines if line.startswith(("import", "from"))] == [
        "import base64, datetime, hashlib, hmac, json, sys"
    ]


async def test_an_export_is_an_entry_and_holds(log: Log, tmp_path: Path) -> None:
    await log.act(5)
    await log.seal()
    lines = await exported(log)
    assert (await log.world.audited())[-1].action is Action.AUDIT_EXPORT
    assert [line["object"] for line in lines] == [
        "audit_export",
        *["audit_export_entry"] * 5,
        "audit_export_end",
    ]
    assert lines[1]["entry"]["details"] == {"state": "straße", "amount": "1 eur"}
    (public,) = log.ctx.audit_keys.public_keys().values()
    told = str(log.file)
    expected = (0, "good: numbers 1 to 5, 5 entries, 0 without content\n")
    assert checked(tmp_path, lines) == expected
    assert checked(tmp_path, lines, public.hex(), told) == expected
    await log.seal()
    tail = await exported(log, first=4)
    said = "good: numbers 4 to 6, 3 entries, 0 without content\n"
    assert checked(tmp_path, tail) == (0, said), "it says where an export begins"
    other = ("0" if public.hex()[0] != "0" else "1") + public.hex()[1:]
    assert checked(tmp_path, lines, other)[0] == 1


async def test_an_entry_of_long_texts_and_many_details_is_read(log: Log, tmp_path: Path) -> None:
    """D4: every length that MessagePack writes otherwise, and characters of four bytes."""
    details = {f"name {n}": "💶" * n for n in (0, 1, 7, 8, 60, 70, 20_000)}
    details |= {f"more {n}": str(n) for n in range(40)}
    entry = log.ctx.audit(log.world.caller, Action.INTENT_LIST, details=details)
    await log.ctx.door.commit(Change(entry))
    await log.seal()
    assert checked(tmp_path, await exported(log))[0] == 0
    assert (await log.verify()).is_good


async def test_the_verifier_names_the_first_bad_entry(log: Log, tmp_path: Path) -> None:
    await log.act(5)
    await log.seal()
    lines = await exported(log)

    def edited(number: int, **changes: Any) -> Lines:
        return [{**line, **changes} if line.get("number") == number else line for line in lines]

    shown = {**lines[3]["entry"], "action": "refund.create"}
    earlier = {**lines[3]["entry"], "at": lines[2]["entry"]["at"]}
    for changes in (
        {"content": lines[2]["content"]},
        {"subject": None},
        {"actor": "key_x"},
        {"at": lines[3]["at"] + 1},
        {"merchant": "other"},
        {"salt": "00" * 16},
        {"leaf": "00" * 32},
        {"hash": "00" * 32},
        {"entry": shown},
        {"entry": earlier},
        {"entry": None},
        {"content": None},
        {"content": None, "entry": shown},
        {"content": None, "entry": None},
    ):
        code, said = checked(tmp_path, edited(3, **changes))
        assert code == 1, changes
        assert lines[3]["id"] in said, changes
    without = [line for line in lines if line.get("number") != 3]
    assert checked(tmp_path, without)[0] == 1
    swapped = [lines[0], lines[2], lines[1], *lines[3:]]
    assert checked(tmp_path, swapped)[0] == 1
    assert checked(tmp_path, lines[:-1]) == (1, "the export is cut off\n")
    behind = (1, "it holds no entry, or goes on behind its end\n")
    assert checked(tmp_path, [*lines, lines[1]]) == behind
    assert checked(tmp_path, [lines[0], {**lines[-1], "hash": lines[0]["previous"]}]) == behind
    cut = [*lines[:5], {**lines[-1], "hash": lines[4]["hash"]}]
    code, said = checked(tmp_path, cut)
    assert (code, said) == (1, "its end is not signed\n")
    assert "more was told outside" in checked(tmp_path, cut, "", str(log.file))[1]


@pytest.mark.parametrize("field", ["signature"])
async def test_a_forged_end_is_found(log: Log, tmp_path: Path, field: str) -> None:
    await log.act(2)
    await log.seal()
    lines = await exported(log)
    lines[2][field] = "11" * 64
    assert checked(tmp_path, lines)[0] == 1

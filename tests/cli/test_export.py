"""`paygate export` and `paygate ledger export` on the directory of a running gateway."""

import asyncio
import csv
import io
import os
import stat
from pathlib import Path

from tests.cli.processes import run
from tests.gateway import Gateway


async def test_payments_to_standard_output_with_their_count_beside(
    gateway: Gateway, tmp_path: Path
) -> None:
    intent = await gateway.create(amount=123_456)
    data = gateway.ready["data_dir"]
    ran = run("export", "payments", "--format", "csv", "--data", data, cwd=tmp_path)
    assert ran.status == 0, ran.err
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(ran.out, newline=""))}
    assert rows[intent["id"]]["amount"] == "1234.56"
    assert ran.err.startswith(f"{len(rows)} rows; amount_received: ")


async def test_the_ledger_to_a_file_for_its_owner_alone(gateway: Gateway, tmp_path: Path) -> None:
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    data, file = gateway.ready["data_dir"], tmp_path / "ledger.csv"
    ran = run("ledger", "export", "-o", str(file), "--data", data, "--quiet", cwd=tmp_path)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open(newline="") as text:
        mine = [row for row in csv.DictReader(text) if row["payment_intent"] == intent["id"]]
    assert [(row["account"], row["debit"], row["credit"]) for row in mine] == [
        ("provider", "19.99", ""),
        ("sales", "", "19.99"),
    ]
    assert list(tmp_path.iterdir()) == [file]


async def test_a_reader_that_goes_away_is_a_failure(gateway: Gateway, tmp_path: Path) -> None:
    await gateway.create()
    data = gateway.ready["data_dir"]
    program = str(Path(__file__).parents[2] / ".venv/bin/paygate")
    reader, writer = os.pipe()
    os.close(reader)
    ran = await asyncio.create_subprocess_exec(
        *(program, "export", "payments", "--data", data),
        cwd=tmp_path,
        stdout=writer,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writer)
    _, said = await ran.communicate()
    told = "paygate: the export is not whole: nobody reads it any more\n"
    assert (ran.returncode, said.decode()) == (1, told)


async def test_what_cannot_be_exported(gateway: Gateway, tmp_path: Path) -> None:
    data = gateway.ready["data_dir"]
    ran = run("export", "cards", "--data", data, cwd=tmp_path)
    assert ran.status == 2
    ran = run("export", "payments", "--format", "pdf", "--data", data, cwd=tmp_path)
    assert ran.status == 2
    ran = run("export", "payments", "--since", "yesterday", "--data", data, cwd=tmp_path)
    assert ran.status == 2
    ran = run("export", "payments", "-o", "no/such/folder.csv", "--data", data, cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "No such file or directory" in ran.err

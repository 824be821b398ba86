"""What keeps the books safe: a key changed while payments go on, and an audit log that holds."""

import json
import subprocess
import sys
from typing import Any

from demo_parts.merchant import DemoFailed, Merchant, check


def key_rotated(merchant: Merchant) -> None:
    before = _primary(merchant)
    rows = before["rows"]
    rotating = _started(merchant, "encryption", "rotate")
    paid = [merchant.confirm(merchant.create(1200, "eur"), "pm_card_visa") for _ in range(3)]
    check({intent["status"] for intent in paid} == {"succeeded"}, "payments go on meanwhile")
    _ended(rotating)
    after = _primary(merchant)
    check(after["id"] != before["id"], f"{rows} records are sealed anew, under another key")
    _run(merchant, "encryption", "retire", before["id"], "--confirm", before["id"])
    check(
        _keys(merchant)[before["id"]]["status"] == "retired", "the old key opens nothing any more"
    )
    read = [merchant.read(intent)["status"] for intent in paid]
    check(read == ["succeeded"] * 3, "every payment is read as before")
    _run(merchant, "ledger", "verify")
    print("     ok  every ledger entry is as the provider's books have it")
    _run(merchant, "audit", "verify")
    print("     ok  the audit log is whole: each entry chained to the one before, and signed")


def _primary(merchant: Merchant) -> dict[str, Any]:
    return next(
        key
        for key in _keys(merchant).values()
        if key["purpose"] == "records" and key["status"] == "primary"
    )


def _keys(merchant: Merchant) -> dict[str, dict[str, Any]]:
    status = json.loads(_run(merchant, "encryption", "status", "--json"))
    return {key["id"]: key for key in status["keys"]}


def _run(merchant: Merchant, *arguments: str) -> str:
    return _ended(_started(merchant, *arguments))


def _started(merchant: Merchant, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "paygate.cli", *arguments, "--data", merchant.data]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)  # noqa: S603 -- our own


def _ended(command: subprocess.Popen[str]) -> str:
    said, errors = command.communicate()
    if command.returncode:
        raise DemoFailed(f"{command.args} ended with {command.returncode}: {said}{errors}")
    return said

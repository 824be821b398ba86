"""Months of books from a seed: they sum, they repeat, and their labels are all that is wrong."""

import csv
import json
import sys
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from paygate_sandbox.generator.files import write_books
from paygate_sandbox.generator.plan import KINDS, Plan, PlanError
from paygate_sandbox.resources.balance.fees import fee_on
from tests.sandbox.programs import ended

Row = dict[str, str]
MARK = "payment_metadata[installation]"
# Past it, a line is late: three working days may be five of the calendar.
WINDOW_DAYS = 5
KNOWN = {
    "charge",
    "partial_capture_reversal",
    "refund",
    "dispute",
    "dispute_reversal",
    "fee",
    "tax",
    "risk_reserved_funds",
    "payout_reversal",
}


def table(folder: Path, name: str) -> list[Row]:
    with (folder / name).open(newline="") as handle:
        return list(csv.DictReader(handle))


def minor(text: str, currency: str) -> int:
    return int(Decimal(text) * (1 if currency == "jpy" else 100))


def day_of(text: str) -> int:
    return int(text[8:10]) + 31 * (int(text[5:7]) + 12 * int(text[:4]))


class Reconciled:
    """A plain reconciliation of the files, by what the product's own would go by."""

    def __init__(self, folder: Path) -> None:
        self.payments = {row["charge"]: row for row in table(folder, "payments.csv")}
        self.refunds = {row["refund"]: row for row in table(folder, "refunds.csv")}
        self.disputes = {row["dispute"]: row for row in table(folder, "disputes.csv")}
        self.lines = table(folder, "report.csv")
        self.payouts = table(folder, "payouts.csv")
        self.found: set[tuple[str, str]] = set()
        self.foreign = 0

    def run(self) -> set[tuple[str, str]]:
        """Each discrepancy by its kind and the transaction, charge or payout that it is about."""
        by_charge: dict[str, list[Row]] = defaultdict(list)
        for line in self.lines:
            category = line["reporting_category"]
            if category in {"charge", "partial_capture_reversal"}:
                by_charge[line["charge_id"]].append(line)
            elif category == "refund":
                self.refund(line)
            elif category in {"dispute", "dispute_reversal"}:
                if line["source_id"] not in self.disputes:
                    self.note("unexpected_chargeback", line)
            elif category not in KNOWN:
                self.note("unexpected_adjustment", line)
        for charge, lines in by_charge.items():
            self.charge(charge, lines)
        for charge in self.payments.keys() - by_charge.keys():
            self.found.add(("missing_at_provider", charge))
        self.totals()
        return self.found

    def note(self, kind: str, line: Row) -> None:
        self.found.add((kind, line["balance_transaction_id"]))

    def refund(self, line: Row) -> None:
        recorded = self.refunds.get(line["source_id"])
        amount = -minor(line["customer_facing_amount"], line["customer_facing_currency"])
        if recorded is None or int(recorded["amount"]) != amount:
            self.note("refund_mismatch", line)

    def charge(self, charge: str, lines: list[Row]) -> None:
        recorded = self.payments.get(charge)
        if recorded is None:
            if lines[0][MARK]:
                self.note("missing_internally", lines[0])
            else:
                self.foreign += 1
            return
        whole = [line for line in lines if line["reporting_category"] == "charge"]
        line = whole[0]
        for twin in whole[1:]:
            self.note("duplicate_at_provider", twin)
        if recorded["status"] == "failed":
            self.note("status_mismatch", line)
            return
        currency = line["currency"]
        assert line["payment_metadata[attempt]"] == recorded["attempt"]
        if line["customer_facing_currency"] != recorded["currency"]:
            self.note("currency_mismatch", line)
        elif minor(line["customer_facing_amount"], recorded["currency"]) != int(
            recorded["amount_captured"]
        ):
            self.note("amount_mismatch", line)
        settled = sum(minor(each["gross"], currency) for each in lines if each not in whole[1:])
        if minor(line["fee"], currency) != fee_on(settled, currency):
            self.note("fee_mismatch", line)
        arrived = day_of(line["automatic_payout_effective_at"])
        if arrived - day_of(line["available_on"]) > WINDOW_DAYS:
            self.note("late", line)

    def totals(self) -> None:
        sums: Counter[str] = Counter()
        for line in self.lines:
            sums[line["automatic_payout_id"]] += minor(line["net"], line["currency"])
        for payout in self.payouts:
            if int(payout["amount"]) != sums.pop(payout["payout"]):
                self.found.add(("payout_total_mismatch", payout["payout"]))
            if payout["status"] == "failed":
                self.found.add(("payout_failed", payout["payout"]))
        assert not sums, "no line is of a payout that there is not"


def labelled(folder: Path) -> list[tuple[str, str]]:
    return [
        (row["kind"], row["transaction"] or row["charge"] or row["payout"])
        for row in table(folder, "discrepancies.csv")
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_labels_are_all_that_is_wrong(tmp_path: Path, seed: int) -> None:
    wanted = dict.fromkeys(KINDS, 7)
    summary = write_books(Plan(seed, 3_000, discrepancies=wanted), tmp_path)
    reconciled = Reconciled(tmp_path)
    labels = labelled(tmp_path)
    assert reconciled.run() == set(labels)
    assert Counter(kind for kind, _ in labels) == wanted == summary["discrepancies"]
    assert reconciled.foreign > 0
    assert summary["lines"] == len(reconciled.lines)


def test_books_without_discrepancies_have_none(tmp_path: Path) -> None:
    write_books(Plan(9, 2_000), tmp_path)
    assert Reconciled(tmp_path).run() == set()
    lines = table(tmp_path, "report.csv")
    categories = {line["reporting_category"] for line in lines}
    assert categories == KNOWN - {"payout_reversal"}
    assert {line["currency"] for line in lines} == {"eur", "usd", "gbp", "jpy"}
    assert {line["customer_facing_currency"] for line in lines} > {"chf"}
    held = [line for line in lines if line["reporting_category"] == "risk_reserved_funds"]
    assert sum(Decimal(line["net"]) for line in held) == 0


def test_a_failed_payout_comes_back_as_a_line_of_a_later_one(tmp_path: Path) -> None:
    write_books(Plan(4, 500, discrepancies={"payout_failed": 3}), tmp_path)
    payouts = {row["payout"]: row for row in table(tmp_path, "payouts.csv")}
    back = [
        line
        for line in table(tmp_path, "report.csv")
        if line["reporting_category"] == "payout_reversal"
    ]
    assert len(back) == 3
    for line in back:
        failed, later = payouts[line["source_id"]], payouts[line["automatic_payout_id"]]
        assert minor(line["net"], line["currency"]) == int(failed["amount"])
        assert int(later["created_at"]) > int(failed["created_at"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    plan = Plan(5, 800, discrepancies=dict.fromkeys(KINDS, 3))
    for name in ("first", "again"):
        write_books(plan, tmp_path / name)
    write_books(Plan(6, 800, discrepancies=dict.fromkeys(KINDS, 3)), tmp_path / "other")
    first = contents(tmp_path / "first")
    assert first == contents(tmp_path / "again")
    ours, theirs = (
        {row["balance_transaction_id"] for row in table(tmp_path / name, "report.csv")}
        for name in ("first", "other")
    )
    assert not ours & theirs  # two seeds can stand side by side
    assert len(ours) == len(table(tmp_path / "first", "report.csv"))


def test_marks_and_attempts_are_as_wanted(tmp_path: Path) -> None:
    plan = Plan(
        7,
        50,
        attempt_key="try",
        marks={"shop": 'a, "b"'},
        name_attempt=lambda number: f"at,{number}",
    )
    write_books(plan, tmp_path)
    lines = [row for row in table(tmp_path, "report.csv") if row["payment_metadata[try]"]]
    assert {row["payment_metadata[shop]"] for row in lines} == {'a, "b"'}
    attempts = {row["attempt"] for row in table(tmp_path, "payments.csv")}
    assert {row["payment_metadata[try]"] for row in lines} == attempts


@pytest.mark.parametrize(
    "plan",
    [
        Plan(1, 0),
        Plan(1, 100, months=0),
        Plan(1, 100, discrepancies={"nonsense": 1}),
        Plan(1, 100, discrepancies={"late": -1}),
        Plan(1, 100, discrepancies={"late": 30, "fee_mismatch": 21}),
        Plan(1, 100, months=1, discrepancies={"payout_failed": 8}),
        Plan(1, 100, attempt_key="installation"),
    ],
)
def test_plans_that_make_no_sense(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        write_books(plan, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_few_payments_still_have_all_that_was_wanted(tmp_path: Path) -> None:
    wanted: dict[str, Any] = dict.fromkeys(KINDS, 1)
    write_books(Plan(8, 30, months=1, discrepancies=wanted), tmp_path)
    assert Counter(kind for kind, _ in labelled(tmp_path)) == wanted


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "paygate.cli", "sandbox", "books", "--out", "books"]
    ran = ended(
        [*command, "--payments", "400", "--inject", "all=2", "--inject", "late=5"], tmp_path
    )
    assert ran.status == 0, ran
    summary = json.loads(ran.out)
    assert summary["discrepancies"] == {**dict.fromkeys(KINDS, 2), "late": 5}
    assert json.loads((tmp_path / "books" / "books.json").read_text()) == summary
    for wrong in (["--inject", "late"], ["--inject", "late=x"], ["--inject", "nonsense=1"]):
        refused = ended([*command, *wrong], tmp_path)
        assert refused.status == 2, refused

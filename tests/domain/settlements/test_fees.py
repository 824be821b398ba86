"""Fee rules: which one is for a line, what it comes to, and which files are refused."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.fees import FeeRulesError, parse_fee_rules
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.outcome import FeePart, Line, LineCategory
from tests.domain.settlements.books import TERMS, World, judged, line, line_like, payment, read

EXAMPLE = (Path(__file__).parents[3] / "examples/fees.toml").read_text()
CARD = payment("1", 10_000, method="card", brand="visa")
PAID = line("txn_1", LineCategory.CHARGE, 10_000, fee=175, payment_reference="pi_1")
RULE = '[[rule]]\ncurrency = "eur"\ntolerance = 1\n'


def found(*lines: Line, rules: str = EXAMPLE, fact: Fact = CARD) -> list[tuple[int, int]]:
    """What fees were expected, and found."""
    world = World([fact], [], set())
    terms = Terms(TERMS.today, TERMS.window, parse_fee_rules(rules))
    wrong = judged(world, read(world, [lines], terms), terms)
    assert all(each.kind is DiscrepancyKind.FEE_MISMATCH for each in wrong)
    pairs = [(each.expected, each.found) for each in wrong]
    return [(e.amount, f.amount) for e, f in pairs if isinstance(e, Amount) and f is not None]


def test_a_fee_is_judged_by_the_first_rule_that_fits() -> None:
    assert found(PAID) == []
    assert found(line_like(PAID, fee=176)) == [(175, 176)]
    assert found(line_like(PAID, fee=174)) == [(175, 174)]


def test_the_tolerance_is_the_rules_own_and_holds_for_fees_alone() -> None:
    rules = RULE + 'percent = "1.5"\nfixed = 25\n'
    assert found(line_like(PAID, fee=176), rules=rules) == []
    assert found(line_like(PAID, fee=177), rules=rules) == [(175, 177)]


def test_a_converted_line_has_a_rule_of_its_own() -> None:
    told = {"customer_currency": "usd", "customer_amount": 11_000, "exchange_rate": "0.909091"}
    dollars = replace(CARD, currency="usd", amount=11_000)
    assert found(line_like(PAID, fee=550, **told), fact=dollars) == []
    assert found(line_like(PAID, fee=175, **told), fact=dollars) == [(550, 175)]


def test_a_maximum_a_minimum_and_a_first_day() -> None:
    transfer = replace(CARD, method="bank_transfer", brand=None, amount=1_000_000)
    paid = line_like(PAID, gross=1_000_000, fee=500)
    assert found(paid, fact=transfer) == []
    before = EXAMPLE.replace("2026-01-01", "2026-03-03")
    assert found(line_like(paid, fee=0), fact=transfer, rules=before) == []
    least = RULE + 'percent = "0.1"\nminimum = 30\n'
    assert found(line_like(PAID, fee=10), rules=least) == [(30, 10)]


@pytest.mark.parametrize("returned", [0, 175])
def test_no_rule_is_about_the_fee_of_a_debit_that_bounced(returned: int) -> None:
    failed = replace(CARD, amount=0, settles=False)
    rules = RULE + 'percent = "1.5"\nfixed = 25\n'
    bounced = {"category": LineCategory.CHARGE_FAILURE, "gross": -10_000, "fee": -returned}
    back = line_like(PAID, provider_reference="txn_2", **bounced)
    assert found(PAID, back, rules=rules, fact=failed) == []


def test_a_partial_capture_in_two_rows_has_one_fee() -> None:
    whole = line_like(PAID, gross=12_000)
    back = line("txn_2", LineCategory.PARTIAL_CAPTURE_REVERSAL, -2000, payment_reference="pi_1")
    assert found(whole, back) == []
    assert found(line_like(whole, fee=205), back) == [(175, 205)]


def test_taxes_and_a_platforms_part_are_no_fee_of_the_providers() -> None:
    parts = (
        FeePart("provider_fee", 175, "eur"),
        FeePart("tax", 33, "eur"),
        FeePart("application_fee", 100, "eur"),
    )
    assert found(line_like(PAID, fee=308, fees=parts)) == []


def test_half_a_unit_goes_up() -> None:
    rules = '[[rule]]\ncurrency = "eur"\ntolerance = 0\npercent = "2.5"\n'
    assert (
        found(line_like(PAID, gross=100, fee=3), rules=rules, fact=replace(CARD, amount=100)) == []
    )


def test_no_rule_no_judgement() -> None:
    amex = RULE + 'brand = "amex"\nfixed = 1\n'
    assert found(PAID, rules=amex) == []
    assert found(PAID, rules=RULE.replace("eur", "usd")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule", "not TOML: "),
        ("", "it must have one or more"),
        ("rule = []", "it must have one or more"),
        ("rule = 5", "it must have one or more"),
        ("[[rule]]\n", "rule 1: Object missing required field `currency`"),
        (f"other = 1\n{RULE}", "it must have one or more"),
        (f"{RULE}\n[[rule]]\ncurrency = 'eur'\n", "rule 2: Object missing required field `tol"),
        (RULE.replace("1", "-1"), "rule 1: tolerance must not be negative"),
        (RULE.replace("1", "1.5"), "rule 1: Expected `int`"),
        (RULE.replace("eur", "xxx"), "rule 1: currency must be"),
        (f"{RULE}percent = '1,5'", "rule 1: percent must be"),
        (f"{RULE}percent = 'NaN'", "rule 1: percent must be"),
        (f"{RULE}percent = '101'", "rule 1: percent must be"),
        (f"{RULE}percent = 1.5", "rule 1: Expected `str`"),
        (f"{RULE}category = 'dispute'", "rule 1: category must be one of charge, refund"),
        (f"{RULE}category = 'sale'", "rule 1: Invalid enum value"),
        (f"{RULE}method = 'cheque'", "rule 1: method must be"),
        (f"{RULE}minimum = 5\nmaximum = 4", "rule 1: minimum must not exceed maximum"),
        (f"{RULE}first_day = 2026-02-02\nlast_day = 2026-02-01", "rule 1: first_day must not"),
        (f"{RULE}fixed = 1000000000000001", "rule 1: fixed is out of bounds"),
        (f"{RULE}feee = 1", "rule 1: Object contains unknown field `feee`"),
        (RULE * 1001, "it must have at most 1000 rules"),
    ],
)
def test_a_file_that_makes_no_sense_says_which_rule_and_why(text: str, said: str) -> None:
    with pytest.raises(FeeRulesError) as error:
        parse_fee_rules(text)
    assert str(error.value).startswith(said)

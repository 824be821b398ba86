"""What a settlement posts: each of the provider's own lines in its account, and rates in theirs."""

from collections import Counter
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from paygate.domain.account_transfer import AccountTransfer, AccountTransferKind
from paygate.domain.ledger import Account, Unbalanced, sides
from paygate.domain.money import Currency
from paygate.domain.postings import postings
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.settlement import Settlement, Source
from paygate.domain.settlements.totals import sum_up
from tests.domain.settlements.books import ACCOUNT, AT, World, line, payment, read, refund

A, C = Account, LineCategory


def posted(
    *lines: Line, facts: Iterable[Fact] = (), amount: int | None = None, closes: bool = False
) -> Counter[tuple[Account, str]]:
    """What every account holds by the settlement of these lines."""
    sums = sum_up(read(World(list(facts), [], set()), [lines]))
    settlement = Settlement(
        id="st_1",
        merchant=ACCOUNT,
        livemode=False,
        provider_reference="po_1",
        source=Source.PROVIDER,
        currency="eur",
        created_at=AT,
        updated_at=AT,
        amount=sums.net("eur") if amount is None else amount,
    )
    held = Counter[tuple[Account, str]]()
    for transfer in postings(settlement, sums, (), AT, str, closes=closes):
        for entry in transfer.entries:
            held[entry.account, transfer.currency_of(entry)] += entry.amount
    return Counter({place: amount for place, amount in held.items() if amount})


@pytest.mark.parametrize(
    ("category", "account"),
    [
        (C.FEE, A.FEES),
        (C.TAX, A.TAXES),
        (C.RESERVE, A.RESERVES),
        (C.ADVANCE, A.ADVANCES),
        (C.TRANSFER, A.TRANSFERS),
        (C.CONVERSION, A.FX),
        (C.ADJUSTMENT, A.ADJUSTMENTS),
        (C.UNKNOWN, A.UNEXPLAINED),
    ],
)
def test_the_providers_own_lines_post_in_their_own_accounts(
    category: LineCategory, account: Account
) -> None:
    assert posted(line("txn_1", category, -500)) == {(account, "eur"): 500, (A.BANK, "eur"): -500}


def test_what_the_bank_brings_in_and_what_came_back_to_it() -> None:
    assert posted(line("txn_1", C.TOPUP, 500)) == {}, "from the bank, and paid out to it again"
    assert posted(line("txn_1", C.PAYOUT_FAILURE, 500), line("txn_2", C.FEE, -20)) == {
        (A.FEES, "eur"): 20,
        (A.BANK, "eur"): -20,
    }


def test_a_line_with_a_fee_of_its_own_posts_both() -> None:
    assert posted(line("txn_1", C.ADJUSTMENT, 1000, fee=30)) == {
        (A.ADJUSTMENTS, "eur"): -1000,
        (A.FEES, "eur"): 30,
        (A.BANK, "eur"): 970,
    }


def test_reserves_net_to_zero_over_payouts() -> None:
    payouts = [posted(line("r", C.RESERVE, amount)) for amount in (-20_000, 15_000, 5000)]
    assert payouts[0][A.RESERVES, "eur"] == 20_000
    assert sum(each[A.RESERVES, "eur"] for each in payouts) == 0


def test_a_refund_at_another_rate_leaves_its_difference_in_fx() -> None:
    """100.00 in at 1.10, out at 1.15: a loss of 5.00 on the balance, none at the payers' side."""
    paid = payment("1", 10_000, currency="usd")
    back = refund("1", paid, 10_000)
    dollars = {"customer_currency": "usd"}
    taken = line(
        "txn_1",
        C.CHARGE,
        11_000,
        payment_reference="pi_1",
        customer_amount=10_000,
        exchange_rate="1.1",
        **dollars,
    )
    given = line(
        "txn_2",
        C.REFUND,
        -11_500,
        source_reference="re_1",
        customer_amount=-10_000,
        exchange_rate="1.15",
        **dollars,
    )
    held = posted(taken, given, facts=[paid, back])
    assert held == {(A.FX, "eur"): 500, (A.BANK, "eur"): -500}
    one = posted(taken, facts=[paid])
    assert one[A.PROVIDER, "usd"] == -10_000, "what the capture debited is gone"
    assert (one[A.FX, "usd"], one[A.FX, "eur"]) == (10_000, -11_000)


def test_a_refund_in_thirds_leaves_no_cent_but_in_fx() -> None:
    paid = payment("1", 10_000, currency="usd")
    thirds = [(3333, 3667), (3333, 3666), (3334, 3667)]
    facts = [paid, *(refund(f"{n}", paid, amount) for n, (amount, _) in enumerate(thirds))]
    lines = [
        line(
            f"txn_{n}",
            C.REFUND,
            -gross,
            source_reference=f"re_{n}",
            customer_amount=-amount,
            customer_currency="usd",
            exchange_rate="1.1",
        )
        for n, (amount, gross) in enumerate(thirds)
    ]
    held = posted(*lines, facts=facts)
    assert (held[A.PROVIDER, "usd"], held[A.PROVIDER, "eur"]) == (10_000, 0)
    assert (held[A.FX, "eur"], held[A.BANK, "eur"]) == (11_000, -11_000)


def test_a_residual_is_named_and_what_nobody_explains_waits_for_the_close() -> None:
    ghost = line("txn_1", C.CHARGE, 700, payment_reference="pi_x", installation="inst_ours")
    held = posted(ghost, amount=1000)
    assert held == {
        (A.PROVIDER, "eur"): -700,
        (A.BANK, "eur"): 1000,
        (A.UNEXPLAINED, "eur"): -300,
    }
    closed = posted(ghost, amount=1000, closes=True)
    assert closed == {(A.BANK, "eur"): 1000, (A.UNEXPLAINED, "eur"): -1000}


def test_foreign_money_is_owed_to_others() -> None:
    held = posted(line("txn_1", C.CHARGE, 700, fee=20, payment_reference="pi_x"))
    assert held == {(A.FOREIGN, "eur"): -680, (A.BANK, "eur"): 680}


def test_a_transfer_has_two_sides_that_balance_in_each_currency() -> None:
    right = AccountTransfer(
        id="ax_1",
        merchant=ACCOUNT,
        kind=AccountTransferKind.FEES,
        category="fee",
        entries=sides(A.FEES, A.PROVIDER, 5, Currency("eur")),
        posted_at=AT,
    )
    one, other = right.entries
    for entries in (
        (one,),
        (one, replace(other, amount=-4)),
        (one, replace(other, currency=Currency("usd"))),
        (one, replace(other, currency=None)),
        (one, other, replace(one, amount=0)),
    ):
        with pytest.raises(Unbalanced):
            replace(right, entries=entries)

"""What the provider pays out: one payout to the cent, and one whose line is not what was paid."""

from collections.abc import Callable
from typing import Any

from demo_parts.merchant import Merchant, check, wait_for

AVAILABLE_AT_ONCE = "pm_card_bypassPending"


def payout_to_the_cent(merchant: Merchant) -> None:
    for amount in (10000, 2550, 999):
        merchant.confirm(merchant.create(amount, "eur"), AVAILABLE_AT_ONCE)
    payout = _pay_out(merchant)
    settlement = _settled(merchant, payout, lambda s: s["closed_at"])
    lines = merchant.call("GET", f"/settlements/{settlement['id']}/lines?limit=100")["data"]
    for total in settlement["totals"]:
        what = f"{total['count']} x {total['category']}"
        print(f"         {what:<22}{_money(total['gross'])}{_money(total['fee'])}", end="")
        print(f"{_money(total['net'])}")
    print(f"         {'payout':<22}{'':24}{_money(settlement['amount'])}")
    summed = sum(total["net"] for total in settlement["totals"])
    check(summed == payout["amount"], "the lines sum to what was paid out, to the cent")
    check(settlement["residual"] == 0, "nothing is left unexplained")
    ours = [line for line in lines if line["category"] != "payout"]
    check(
        all(line["match"]["state"] == "matched" for line in ours),
        f"each of its {len(ours)} lines is matched to a payment, a refund or a dispute",
    )
    theirs = merchant.sandbox("GET", f"/v1/balance_transactions?payout={payout['id']}&limit=100")
    booked = {row["id"]: row["net"] for row in theirs["data"]}
    check(
        booked == {line["provider_reference"]: line["net"] for line in lines},
        "the provider's own books have the same lines",
    )
    found = merchant.call("GET", f"/discrepancies?settlement={settlement['id']}")["data"]
    check(not found, "no discrepancy; the settlement has closed itself")


def discrepancy_found(merchant: Merchant) -> None:
    intents = [merchant.create(amount, "eur", reference="order-78") for amount in (4200, 800)]
    for intent in intents:
        merchant.confirm(intent, AVAILABLE_AT_ONCE)
    payout = _pay_out(merchant, tamper="wrong_amount", by=-5)
    settlement = _settled(merchant, payout, lambda s: s["matching"] != "waiting")
    check(settlement["matching"] == "discrepant", "a line of the payout was made wrong")
    check(settlement["residual"] == 0, "the payout sums all the same: no total shows it")
    (found,) = merchant.call("GET", f"/discrepancies?settlement={settlement['id']}")["data"]
    said = f"{found['kind']}: {found['expected']['amount']} expected, {found['found']['amount']}"
    check(found["kind"] == "amount_mismatch", f"{said} found")
    check(found["difference"] == -5, "five cents are missing")
    check(
        found["payment_intent"] in {intent["id"] for intent in intents},
        f"of payment {found['payment_intent']}",
    )
    wait_for("the alert", lambda: _alert(merchant, settlement))
    print("     ok  people were told")
    reason = "five cents were taken by the demo; the sandbox gives them back on Monday"
    path = f"/discrepancies/{found['id']}/resolve"
    done = merchant.call("POST", path, {"action": "explain", "reason": reason})
    check(done["status"] == "explained", f"explained by {done['decision']['actor']}, audited")
    closed = _settled(merchant, payout, lambda s: s["closed_at"])
    check(closed["open_discrepancies"] == 0, "the settlement has closed itself")


def _pay_out(merchant: Merchant, **order: Any) -> dict[str, Any]:
    made = merchant.sandbox(
        "POST", "/_sandbox/payouts", {"currency": "eur", "arrival_in_days": 0} | order
    )
    payout = dict(made["payouts"][0])
    check(payout["status"] == "paid", f"the provider pays out {_money(payout['amount']).strip()}")
    return payout


def _settled(
    merchant: Merchant, payout: dict[str, Any], holds: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """The payout's settlement, once it is so."""

    def look() -> dict[str, Any] | None:
        listed = merchant.call("GET", "/settlements")["data"]
        of = (each for each in listed if each["provider_reference"] == payout["id"])
        return next((each for each in of if holds(each)), None)

    return wait_for("the settlement", look)


def _alert(merchant: Merchant, settlement: dict[str, Any]) -> dict[str, Any] | None:
    alerts = merchant.call("GET", "/alerts?status=open&limit=100")["data"]
    about = (each for each in alerts if each["subject"]["id"] == settlement["id"])
    return next(about, None)


def _money(amount: int) -> str:
    return f"{amount / 100:12.2f}"

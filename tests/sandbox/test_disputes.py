"""Disputes at the sandbox: how they begin, what they move, how they end."""

from typing import Any

import pytest

from tests.sandbox.caller import Caller, Json, card_payment

DISPUTES = "/v1/disputes"
DAY = 86_400


async def paid(stripe: Caller, token: str = "pm_card_visa", **changes: Any) -> Json:
    return await stripe.post("/v1/payment_intents", card_payment(token, **changes))


async def disputed(stripe: Caller, token: str = "pm_card_createDispute", **changes: Any) -> Json:
    """The one dispute of a new payment."""
    intent = await paid(stripe, token, **changes)
    (dispute,) = (await stripe.get(DISPUTES, payment_intent=intent["id"]))["data"]
    found: Json = dispute
    return found


async def ordered(stripe: Caller, **order: Any) -> Json:
    """A dispute of a new payment of 1000, by the side door."""
    intent = await paid(stripe)
    charge = order.pop("charge", intent["latest_charge"])
    made: Json = await stripe.control("POST", "disputes", {"charge": charge, **order})
    return made


async def submitted(stripe: Caller, dispute: Json, text: str) -> Json:
    """Evidence that a bank reads, and the dispute after it has."""
    order = {"evidence": {"uncategorized_text": text}, "submit": True}
    await stripe.post(f"{DISPUTES}/{dispute['id']}", order)
    await stripe.advance(6)
    return await stripe.get(f"{DISPUTES}/{dispute['id']}")


async def events_of(stripe: Caller) -> list[str]:
    return [each for each in await stripe.event_types() if "dispute" in each]


def rows(dispute: Json) -> list[tuple[int, int, str]]:
    return [
        (row["amount"], row["fee"], row["reporting_category"])
        for row in dispute["balance_transactions"]
    ]


@pytest.mark.parametrize(
    ("token", "reason", "code"),
    [
        ("pm_card_createDispute", "fraudulent", "10.4"),
        ("pm_card_createDisputeProductNotReceived", "product_not_received", "13.1"),
    ],
)
async def test_a_chargeback_takes_the_money_at_once(
    stripe: Caller, token: str, reason: str, code: str
) -> None:
    dispute = await disputed(stripe, token)
    assert (dispute["status"], dispute["reason"]) == ("needs_response", reason)
    assert dispute["payment_method_details"]["card"]["network_reason_code"] == code
    assert dispute["payment_method_details"]["card"]["case_type"] == "chargeback"
    assert dispute["is_charge_refundable"] is False
    assert rows(dispute) == [(-1000, 1500, "dispute")]
    assert dispute["evidence_details"]["due_by"] % DAY == DAY - 1
    assert (await stripe.event_types())[-4:] == [
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]
    refused = await stripe.refused("/v1/refunds", {"charge": dispute["charge"]})
    assert refused["code"] == "charge_disputed"
    charge = await stripe.get(f"/v1/charges/{dispute['charge']}")
    assert charge["disputed"] is True
    row = dispute["balance_transactions"][0]
    assert await stripe.get(f"/v1/balance_transactions/{row['id']}") == row
    by_dispute = await stripe.get("/v1/balance_transactions", source=dispute["id"])
    by_charge = await stripe.get("/v1/balance_transactions", source=dispute["charge"])
    assert (by_dispute["data"], row in by_charge["data"]) == ([], True)


async def test_a_hold_is_disputed_once_it_is_captured(stripe: Caller) -> None:
    held = await paid(stripe, "pm_card_createDispute", capture_method="manual")
    assert (await stripe.get(DISPUTES, payment_intent=held["id"]))["data"] == []
    await stripe.post(f"/v1/payment_intents/{held['id']}/capture", {"amount_to_capture": 600})
    (dispute,) = (await stripe.get(DISPUTES, charge=held["latest_charge"]))["data"]
    assert dispute["amount"] == 600


async def test_won_gives_the_money_back_and_keeps_the_fee(stripe: Caller) -> None:
    won = await submitted(stripe, await disputed(stripe), "winning_evidence")
    assert (won["status"], won["is_charge_refundable"]) == ("won", True)
    assert rows(won) == [(-1000, 1500, "dispute"), (1000, 0, "dispute_reversal")]
    assert won["evidence_details"]["submission_count"] == 1
    assert (await events_of(stripe))[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    refund = await stripe.post("/v1/refunds", {"charge": won["charge"]})
    assert refund["amount"] == 1000


async def test_lost_keeps_the_withdrawal_alone(stripe: Caller) -> None:
    lost = await submitted(stripe, await disputed(stripe), "losing_evidence")
    assert (lost["status"], rows(lost)) == ("lost", [(-1000, 1500, "dispute")])
    assert (await events_of(stripe))[-1] == "charge.dispute.closed"
    refused = await stripe.refused("/v1/refunds", {"charge": lost["charge"]})
    assert refused["code"] == "charge_disputed"


async def test_no_word_that_decides_is_never_decided(stripe: Caller) -> None:
    read = await submitted(stripe, await disputed(stripe), "I did send it.")
    refused = await stripe.refused("/v1/refunds", {"charge": read["charge"]})
    assert refused["code"] == "charge_disputed"
    await stripe.advance(30 * DAY)
    assert (await stripe.get(f"{DISPUTES}/{read['id']}"))["status"] == "under_review"


async def test_closing_is_losing_and_for_ever(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    path = f"{DISPUTES}/{dispute['id']}"
    lost = await stripe.post(f"{path}/close", key="close")
    assert lost["status"] == "lost"
    assert await stripe.post(f"{path}/close", key="close") == lost
    for again in (f"{path}/close", path):
        refused = await stripe.refused(again)
        assert refused["message"] == "This dispute is already closed"
    missing = await stripe.call("GET", f"{DISPUTES}/du_none")
    assert (missing.status, missing.error["param"]) == (404, "dispute")


async def test_a_deadline_that_passes_loses(stripe: Caller) -> None:
    dispute = await ordered(stripe, due_in_seconds=100)
    await stripe.advance(99)
    assert (await stripe.get(f"{DISPUTES}/{dispute['id']}"))["status"] == "needs_response"
    await stripe.advance(2)
    lost = await stripe.get(f"{DISPUTES}/{dispute['id']}")
    assert (lost["status"], lost["evidence_details"]["submission_count"]) == ("lost", 0)
    refused = await stripe.refused(
        f"{DISPUTES}/{dispute['id']}", {"evidence": {"customer_name": "Ada"}}
    )
    assert refused["message"] == "This dispute is already closed"


async def test_an_inquiry_moves_nothing(stripe: Caller) -> None:
    inquiry = await disputed(stripe, "pm_card_createDisputeInquiry")
    assert (inquiry["status"], rows(inquiry)) == ("warning_needs_response", [])
    assert inquiry["payment_method_details"]["card"]["case_type"] == "inquiry"
    assert inquiry["is_charge_refundable"] is True
    assert await events_of(stripe) == ["charge.dispute.created"]
    await stripe.refused(f"{DISPUTES}/{inquiry['id']}/close")
    part = await stripe.post("/v1/refunds", {"charge": inquiry["charge"], "amount": 400})
    assert part["status"] == "succeeded"
    assert (await stripe.get(f"{DISPUTES}/{inquiry['id']}"))["status"] == "warning_needs_response"
    await stripe.post("/v1/refunds", {"charge": inquiry["charge"]})
    closed = await stripe.get(f"{DISPUTES}/{inquiry['id']}")
    assert (closed["status"], rows(closed)) == ("warning_closed", [])
    assert (await events_of(stripe))[-1] == "charge.dispute.closed"


@pytest.mark.parametrize("how", ["evidence", "silence"])
async def test_an_inquiry_escalates(stripe: Caller, how: str) -> None:
    inquiry = await disputed(stripe, "pm_card_createDisputeInquiry")
    early = await stripe.post("/v1/refunds", {"charge": inquiry["charge"], "amount": 200})
    await stripe.advance(120)
    if how == "evidence":
        order = {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}}
        review = await stripe.post(f"{DISPUTES}/{inquiry['id']}", order)
        assert review["status"] == "warning_under_review"
        await stripe.post("/v1/refunds", {"charge": inquiry["charge"], "amount": 100}, key="late")
        await stripe.advance(6)
    else:
        await stripe.advance(10 * DAY)
    chargeback = await stripe.get(f"{DISPUTES}/{inquiry['id']}")
    assert (chargeback["status"], rows(chargeback)) == (
        "needs_response",
        [(-1000, 1500, "dispute")],
    )
    assert chargeback["payment_method_details"]["card"]["case_type"] == "chargeback"
    assert chargeback["is_charge_refundable"] is False
    assert "charge.dispute.funds_withdrawn" in await events_of(stripe)
    refunds = (await stripe.get("/v1/refunds", charge=inquiry["charge"]))["data"]
    told = {each["id"]: each["status"] for each in refunds}
    assert told.pop(early["id"]) == "succeeded"
    assert list(told.values()) == (["failed"] if how == "evidence" else [])
    for each in refunds:
        if each["status"] == "failed":
            assert each["failure_reason"] == "charge_for_pending_refund_disputed"


@pytest.mark.parametrize("word", ["winning_evidence", "losing_evidence"])
async def test_an_inquiry_that_was_answered_is_closed(stripe: Caller, word: str) -> None:
    inquiry = await disputed(stripe, "pm_card_createDisputeInquiry")
    closed = await submitted(stripe, inquiry, word)
    assert (closed["status"], rows(closed)) == ("warning_closed", [])


async def test_several_share_a_payment(stripe: Caller) -> None:
    intent = await paid(stripe, "pm_card_createMultipleDisputes", amount=1001)
    found = (await stripe.get(DISPUTES, payment_intent=intent["id"]))["data"]
    assert sorted(each["amount"] for each in found) == [500, 501]
    for each in found:
        await stripe.refused("/v1/refunds", {"payment_intent": intent["id"]})
        await submitted(stripe, each, "winning_evidence")
    await stripe.post("/v1/refunds", {"payment_intent": intent["id"]})


async def test_a_part_that_is_lost_leaves_the_rest(stripe: Caller) -> None:
    dispute = await ordered(stripe, amount=700)
    await stripe.post(f"{DISPUTES}/{dispute['id']}/close")
    over = await stripe.refused("/v1/refunds", {"charge": dispute["charge"], "amount": 301})
    assert over["param"] == "amount"
    rest = await stripe.post("/v1/refunds", {"charge": dispute["charge"]})
    assert rest["amount"] == 300


async def test_a_debit_that_is_returned_is_lost_at_once(stripe: Caller) -> None:
    person = {"accepted_at": 1, "type": "offline", "offline": {}}
    order = card_payment("pm_usBankAccount_dispute", currency="usd")
    order |= {
        "payment_method_types": ["us_bank_account"],
        "mandate_data": {"customer_acceptance": person},
    }
    intent = await stripe.post("/v1/payment_intents", order)
    await stripe.advance(181)
    (dispute,) = (await stripe.get(DISPUTES, payment_intent=intent["id"]))["data"]
    assert (dispute["status"], dispute["evidence_details"]["due_by"]) == ("lost", 0)
    assert "payment_method_details" not in dispute
    assert (await stripe.event_types())[-5:-1] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
        "payment_intent.succeeded",
    ]


async def test_what_an_order_may_say(stripe: Caller) -> None:
    dispute = await ordered(
        stripe,
        reason="duplicate",
        amount=90_000,
        currency="jpy",
        settled=600,
        countered_fee=1500,
    )
    assert (dispute["amount"], dispute["currency"]) == (90_000, "jpy")
    assert [row["currency"] for row in dispute["balance_transactions"]] == ["eur"]
    assert rows(dispute) == [(-600, 1500, "dispute")]
    won = await submitted(stripe, dispute, "winning_evidence")
    assert rows(won)[1:] == [(-1500, 0, "fee"), (600, 0, "dispute_reversal"), (1500, 0, "fee")]
    prevented = await ordered(stripe, kind="prevented")
    assert (prevented["status"], rows(prevented)) == ("prevented", [])
    final = await ordered(stripe, due_in_seconds=0)
    assert (final["status"], final["evidence_details"]["due_by"]) == ("lost", 0)
    ledger = await stripe.control("GET", "ledger")
    (line,) = [each for each in ledger["disputes"] if each["id"] == dispute["id"]]
    assert (line["charge"], line["status"], line["submission_count"]) == (
        dispute["charge"],
        "won",
        1,
    )
    assert line["evidence"] == {"uncategorized_text": "winning_evidence"}
    assert sum(row["net"] for row in line["rows"]) == -1500


@pytest.mark.parametrize(
    "order",
    [
        {"charge": "ch_none"},
        {"reason": "boredom"},
        {"amount": 1001},
        {"amount": 0},
        {"currency": "usd"},
        {"kind": "inquiry", "due_in_seconds": 0},
        {"kind": "inquiry", "countered_fee": 5},
        {"surprise": 1},
    ],
)
async def test_what_an_order_may_not_say(stripe: Caller, order: Json) -> None:
    with pytest.raises(AssertionError, match="error"):
        await ordered(stripe, **order)


async def test_lists_and_expansion(stripe: Caller) -> None:
    made = [(await disputed(stripe))["id"] for _ in range(3)]
    seen: list[str] = []
    more = True
    while more:
        after = {"starting_after": seen[-1]} if seen else {}
        page = await stripe.get(DISPUTES, limit=2, **after)
        seen += [each["id"] for each in page["data"]]
        more = page["has_more"]
    assert seen == made[::-1]
    page = await stripe.get(DISPUTES, created={"gte": 0}, expand=["data.charge"])
    assert {each["charge"]["object"] for each in page["data"]} == {"charge"}
    marked = await stripe.post(f"{DISPUTES}/{made[0]}", {"metadata": {"case": "7"}})
    assert (marked["metadata"], marked["status"]) == ({"case": "7"}, "needs_response")
    assert marked["evidence_details"]["submission_count"] == 0


async def test_a_reply_that_is_lost_is_one_submission(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    order = {"evidence": {"customer_name": "Ada"}, "submit": True}
    await stripe.fault("disputes", "error_after")
    lost = await stripe.call("POST", f"{DISPUTES}/{dispute['id']}", order, key="once")
    assert lost.status == 500
    again = await stripe.call("POST", f"{DISPUTES}/{dispute['id']}", order, key="once")
    assert again.status == 500
    ledger = await stripe.control("GET", "ledger")
    assert [each["submission_count"] for each in ledger["disputes"]] == [1]

"""Every test card that the sandbox offers, to its end: as the shop sees it, and in the books.

The table is written by hand. A card that is added without a row here fails.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paygate_sandbox.resources.bank_accounts import US_ACCOUNTS, BankAccount
from paygate_sandbox.resources.cards import CARDS
from tests.api.payments.test_client_side import PUBLIC, Browser
from tests.gateway import Gateway, until

AGAIN, NEVER, CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"


class CardDecline(NamedTuple):
    """`last_payment_error`, without its sentence."""

    code: str
    decline_code: str | None
    advice: str | None


class Paid(NamedTuple):
    """`payment_method`, as the shop shows it on a receipt."""

    brand: str
    last4: str


class Challenged(NamedTuple):
    """What becomes of a card whose payer must act, when the payer does."""

    completed: Paid | CardDecline


End = Paid | CardDecline | Challenged

GENERIC = CardDecline("card_declined", "generic_decline", AGAIN)
POOR = CardDecline("card_declined", "insufficient_funds", AGAIN)
LOST = CardDecline("card_declined", "lost_card", NEVER)
STOLEN = CardDecline("card_declined", "stolen_card", NEVER)
TOO_OFTEN = CardDecline("card_declined", "card_velocity_exceeded", AGAIN)
NOT_AUTHENTICATED = CardDecline("authentication_failed", None, None)

ENDS: dict[str, End] = {
    "pm_card_visa": Paid("visa", "4242"),
    "pm_card_visa_debit": Paid("visa", "5556"),
    "pm_card_mastercard": Paid("mastercard", "4444"),
    "pm_card_mastercard_debit": Paid("mastercard", "8210"),
    "pm_card_mastercard_prepaid": Paid("mastercard", "5100"),
    "pm_card_amex": Paid("amex", "8431"),
    "pm_card_discover": Paid("discover", "1117"),
    "pm_card_diners": Paid("diners", "3237"),
    "pm_card_jcb": Paid("jcb", "0505"),
    "pm_card_unionpay": Paid("unionpay", "0005"),
    "pm_card_us": Paid("visa", "4242"),
    "pm_card_at": Paid("visa", "0008"),
    "pm_card_au": Paid("visa", "0006"),
    "pm_card_be": Paid("visa", "0004"),
    "pm_card_ca": Paid("visa", "0000"),
    "pm_card_ch": Paid("visa", "0009"),
    "pm_card_de": Paid("visa", "0016"),
    "pm_card_es": Paid("visa", "0007"),
    "pm_card_fr": Paid("visa", "0003"),
    "pm_card_gb": Paid("visa", "0000"),
    "pm_card_it": Paid("visa", "0008"),
    "pm_card_jp": Paid("visa", "0003"),
    "pm_card_mx": Paid("visa", "8001"),
    "pm_card_nl": Paid("visa", "0002"),
    "pm_card_bypassPending": Paid("visa", "0077"),
    "pm_card_pendingRefund": Paid("visa", "7726"),
    "pm_card_refundFail": Paid("visa", "5126"),
    "pm_card_createDispute": Paid("visa", "0259"),
    "pm_card_createDisputeProductNotReceived": Paid("visa", "2685"),
    "pm_card_createDisputeInquiry": Paid("visa", "1976"),
    "pm_card_createMultipleDisputes": Paid("visa", "0079"),
    "pm_card_createComplianceDispute": Paid("visa", "0779"),
    "pm_card_createIssuerFraudRecord": Paid("visa", "5423"),
    "pm_card_threeDSecureOptional": Paid("visa", "3055"),
    "pm_card_chargeDeclined": GENERIC,
    "pm_card_visa_chargeDeclined": GENERIC,
    "pm_card_chargeCustomerFail": GENERIC,
    "pm_card_visa_chargeDeclinedInsufficientFunds": POOR,
    "pm_card_chargeDeclinedInsufficientFunds": POOR,
    "pm_card_visa_chargeDeclinedLostCard": LOST,
    "pm_card_chargeDeclinedLostCard": LOST,
    "pm_card_visa_chargeDeclinedStolenCard": STOLEN,
    "pm_card_chargeDeclinedStolenCard": STOLEN,
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": TOO_OFTEN,
    "pm_card_chargeDeclinedVelocityLimitExceeded": TOO_OFTEN,
    "pm_card_chargeDeclinedExpiredCard": CardDecline("expired_card", "expired_card", NEVER),
    "pm_card_chargeDeclinedIncorrectCvc": CardDecline("incorrect_cvc", "incorrect_cvc", CHECK),
    "pm_card_chargeDeclinedProcessingError": CardDecline(
        "processing_error", "processing_error", AGAIN
    ),
    "pm_card_radarBlock": CardDecline("card_declined", "fraudulent", None),
    "pm_card_authenticationRequired": Challenged(Paid("visa", "3155")),
    "pm_card_threeDSecure2Required": Challenged(Paid("visa", "3220")),
    "pm_card_threeDSecureRequired": Challenged(Paid("visa", "3063")),
    "pm_card_threeDSecureRequiredChargeDeclined": Challenged(GENERIC),
}

AT_ONCE = [(token, end) for token, end in ENDS.items() if not isinstance(end, Challenged)]
CHALLENGED = [(token, end) for token, end in ENDS.items() if isinstance(end, Challenged)]
SECRET = {"lost_card", "stolen_card", "fraudulent"}
HIDDEN = [t for t, end in AT_ONCE if isinstance(end, CardDecline) and end.decline_code in SECRET]


PAGE = Path(__file__).resolve().parents[2] / "docs" / "test-tokens.md"


def test_every_card_of_the_sandbox_has_a_row() -> None:
    assert set(ENDS) == set(CARDS)


def test_the_page_of_test_cards_says_what_becomes_of_each() -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| `pm_card_")]
    assert rows == [
        f"| `{token}` | {shown_status(end)} | {shown_end(end)} |" for token, end in ENDS.items()
    ]


def test_the_page_of_test_accounts_says_what_becomes_of_each() -> None:
    """The sandbox's own table, which tests of its debits go through."""
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| `pm_us")]
    assert rows == [
        f"| `{token}` | {status_of_debit(account)} | {account.last4} |"
        for token, account in US_ACCOUNTS.items()
    ]


def shown_status(end: End) -> str:
    match end:
        case Challenged(completed):
            return f"`requires_action`, then {shown_status(completed)}"
        case Paid():
            return "`succeeded`"
        case _:
            return "`failed`"


def shown_end(end: End) -> str:
    match end:
        case Challenged(completed):
            return shown_end(completed)
        case Paid(brand, last4):
            return f"{brand}, {last4}"
        case _:
            return ", ".join(f"`{word}`" for word in end if word)


def status_of_debit(account: BankAccount) -> str:
    if account.seconds is None:
        return "`processing`, without end"
    return "`failed`" if account.failure else "`succeeded`"


def amount_of(token: str) -> int:
    """Another for each card, so that one payment cannot pass for another."""
    return 1000 + 7 * list(ENDS).index(token)


async def confirmed(gateway: Gateway, token: str, **more: Any) -> dict[str, Any]:
    intent = await gateway.create(amount_of(token), **more)
    answer = await gateway.confirm(intent["id"], token)
    assert answer.status == 200, answer
    return answer.json


def seen(intent: dict[str, Any]) -> Paid | CardDecline:
    """The end that an intent shows."""
    error, method = intent["last_payment_error"], intent["payment_method"]
    if error is None:
        return Paid(method["brand"], method["last4"])
    assert error["message"], error
    return CardDecline(error["code"], error["decline_code"], error["advice"])


async def has_ended(
    gateway: Gateway,
    intent: dict[str, Any],
    token: str,
    end: Paid | CardDecline,
    *,
    held: bool = False,
) -> None:
    """Here and in the sandbox's books."""
    amount = amount_of(token)
    paid = isinstance(end, Paid)
    status = "failed" if not paid else "requires_capture" if held else "succeeded"
    assert (intent["status"], seen(intent)) == (status, end), intent
    assert (intent["pending_operation"], intent["next_action"]) == (None, None)
    received, capturable = (0, amount) if held else (amount, 0)
    amounts = (intent["amount_received"], intent["amount_capturable"])
    assert amounts == ((received, capturable) if paid else (0, 0))
    charges = await gateway.charges(intent["id"])
    good = [c for c in charges if c["status"] == "succeeded"]
    assert all(c["status"] == "failed" and not c["captured"] for c in charges if c not in good)
    assert all(c["payment_intent"] == intent["provider_reference"] for c in charges)
    if paid:
        (charge,) = good
        assert (charge["amount"], charge["currency"]) == (amount, "eur")
        assert (charge["captured"], charge["amount_captured"]) == (not held, received)
    else:
        assert good == []


MOVED_BY_A_DISPUTE = {"version", "updated_at", "disputed", "amount_refundable"}


@pytest.mark.parametrize(("token", "end"), AT_ONCE)
async def test_a_card_without_a_challenge(
    gateway: Gateway, token: str, end: Paid | CardDecline
) -> None:
    intent = await confirmed(gateway, token)
    await has_ended(gateway, intent, token, end)
    told = await gateway.read(intent["id"])
    moved = MOVED_BY_A_DISPUTE if "Dispute" in token else set()
    assert {name for name in intent if told[name] != intent[name]} <= moved


@pytest.mark.parametrize("capture_method", ["automatic", "manual"])
@pytest.mark.parametrize("outcome", ["complete", "fail"])
@pytest.mark.parametrize(("token", "end"), CHALLENGED)
async def test_a_card_with_a_challenge(
    gateway: Gateway, token: str, end: Challenged, outcome: str, capture_method: str
) -> None:
    """The payer answers on the sandbox's own page, and the payment ends by itself."""
    intent = await confirmed(gateway, token, capture_method=capture_method)
    assert (intent["status"], intent["last_payment_error"]) == ("requires_action", None)
    assert await gateway.charges(intent["id"]) == [], "nobody is charged who was not asked"
    url = intent["next_action"]["redirect_to_url"]["url"]
    assert (await gateway.visit("GET", url)).status == 200
    answered = await gateway.visit("POST", url, {"outcome": outcome})
    assert answered.status == 303
    back = await gateway.visit("GET", answered.headers["Location"])
    assert back.headers["Location"].startswith("https://shop.example/done?")

    async def ended() -> dict[str, Any] | None:
        found = await gateway.read(intent["id"])
        return None if found["status"] in ("requires_action", "processing") else found

    final = await until(ended)
    expected = end.completed if outcome == "complete" else NOT_AUTHENTICATED
    await has_ended(gateway, final, token, expected, held=capture_method == "manual")
    # Once answered, the page takes no other answer.
    other = "fail" if outcome == "complete" else "complete"
    await gateway.visit("POST", url, {"outcome": other})
    await gateway.visit("GET", answered.headers["Location"])
    assert await gateway.read(intent["id"]) == final


@pytest.mark.parametrize(("token", "end"), [e for e in AT_ONCE if isinstance(e[1], Paid)])
async def test_a_card_that_is_held_waits_for_its_capture(
    gateway: Gateway, token: str, end: Paid
) -> None:
    intent = await confirmed(gateway, token, capture_method="manual")
    await has_ended(gateway, intent, token, end, held=True)


@pytest.mark.parametrize(("token", "end"), [e for e in AT_ONCE if isinstance(e[1], CardDecline)])
async def test_a_refused_card_is_refused_a_hold_too(
    gateway: Gateway, token: str, end: CardDecline
) -> None:
    intent = await confirmed(gateway, token, capture_method="manual")
    await has_ended(gateway, intent, token, end)


@pytest.mark.parametrize("token", HIDDEN)
async def test_a_page_does_not_learn_what_the_bank_noticed(gateway: Gateway, token: str) -> None:
    """Of all that a payer's browser can ask for, nothing differs from an ordinary decline."""
    views_of = []
    for card in (token, "pm_card_chargeDeclined"):
        intent, secret = await gateway.create_with_secret()
        browser = Browser(gateway, secret)
        method = {"type": "card", "token": card}
        answers = [
            await browser.confirm(intent["id"], payment_method=method),
            await browser.confirm(intent["id"], payment_method=method),
            await browser.read(intent["id"]),
        ]
        assert [a.status for a in answers] == [200, 409, 200]
        views = [a.json.get("error", {}).get("payment_intent") or a.json for a in answers]
        assert all(set(view) == PUBLIC for view in views)
        views_of.append([(v["status"], v["last_payment_error"]) for v in views])
        for answer in answers:
            assert not [w for w in ("lost", "stolen", "fraud", "risk") if w.encode() in answer.body]
        private = (await gateway.read(intent["id"]))["last_payment_error"]
        assert (private["decline_code"] in SECRET) is (card == token), "the shop's server knows"
    hidden, ordinary = views_of
    assert hidden == ordinary

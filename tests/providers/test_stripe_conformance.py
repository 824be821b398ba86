"""The Stripe adapter against the sandbox, in a process of its own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from paygate.crypto.secret import Secret
from paygate.domain.money import Currency
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.translate import API_VERSION
from tests.providers.conformance import (
    Account,
    Call,
    Delivery,
    Fault,
    Payout,
    ProviderConformance,
    Subject,
)
from tests.providers.conformance_banks import (
    CustomerConformance,
    DebitConformance,
    TransferConformance,
)
from tests.providers.conformance_disputes import DisputeConformance
from tests.providers.conformance_holds import HoldConformance
from tests.providers.conformance_methods import MethodConformance
from tests.providers.conformance_payouts import PayoutConformance
from tests.providers.conformance_refunds import RefundConformance
from tests.providers.conftest import settings
from tests.providers.stripe_objects import INSTALLATION
from tests.providers.stripe_server import StripeServer, answer

SECRET_KEY: Final = "sk_test_conformance"
START_SECONDS: Final = 20.0
FAULTS: Final[dict[Fault, str]] = {
    "reply_lost": "drop_reply",
    "error_after": "error_after",
    "error_before": "error_before",
    "rate_limited": "rate_limit",
    "hang": "hang",
}
CALLS: Final[dict[Call, str]] = {
    "confirm": "confirm",
    "capture": "capture",
    "cancel": "cancel",
    "refund": "refund",
    "dispute": "disputes",
    "file": "files",
    "customer": "customers",
    "look_up": "retrieve",
    "list": "list",
}
PAYOUTS: Final[dict[Payout, dict[str, Any]]] = {
    "told": {},
    "untold": {"reconciliation": "in_progress"},
    "in_vain": {"fail": True, "failure_code": "account_closed"},
    "by_hand": {"manual": True},
}
DAYS_PASS_SECONDS: Final = 5 * 86_400
AUTHORIZED: Final = {"Authorization": f"Bearer {SECRET_KEY}"}
IBANS: Final[dict[Account, str]] = {
    "good": "AT611904300234573201",
    "failing": "AT861904300235473202",
}
US_ACCOUNTS: Final[dict[Account, str]] = {
    "good": "pm_usBankAccount_success",
    "failing": "pm_usBankAccount_accountClosed",
}
BANKS_ANSWER_SECONDS: Final = 200
"""A little longer than the three minutes of Stripe's test accounts."""


@pytest.fixture(scope="class")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sandbox that runs beside the tests: each class has a clock to itself."""
    data = tmp_path_factory.mktemp("sandbox")
    ready = data / "ready.json"
    arguments = ["--port", "0", "--data", str(data), "--ready-file", str(ready)]
    keys = ["--secret-key", SECRET_KEY, "--publishable-key", "pk_test_conformance"]
    process = subprocess.Popen([sys.executable, "-m", "paygate_sandbox", *arguments, *keys])
    try:
        yield _await_ready(process, ready)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_ready(process: "subprocess.Popen[bytes]", ready: Path) -> str:
    for _ in range(int(START_SECONDS / 0.05)):
        if ready.exists():
            url = json.loads(ready.read_text())["url"]
            assert isinstance(url, str)
            return url
        try:
            code = process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the sandbox ended with {code} before it was ready")
    raise AssertionError("the sandbox was not ready in time")


class Sandbox:
    """The sandbox's two doors: Stripe's API, and the tester's under /_sandbox/."""

    def __init__(self, url: str, session: aiohttp.ClientSession, inbox: StripeServer) -> None:
        self.url = url
        self._session = session
        self._inbox = inbox

    async def register(self) -> str:
        """Send all events to our inbox; the answer is the secret that they are signed with."""
        form = {
            "url": f"{self._inbox.url}/webhooks",
            "enabled_events[0]": "*",
            "api_version": API_VERSION,
        }
        made = await self._stripe("POST", "/v1/webhook_endpoints", data=form)
        secret = made["secret"]
        assert isinstance(secret, str)
        return secret

    async def fault(self, call: Call, fault: Fault, count: int) -> None:
        order: dict[str, Any] = {"on": CALLS[call], "kind": FAULTS[fault], "count": count}
        if fault == "hang":
            order["seconds"] = 2.0
        await self._call("POST", "/_sandbox/faults", json=order)

    async def clear(self) -> None:
        await self._call("DELETE", "/_sandbox/faults")

    async def charged(self, attempt: str) -> int:
        return len(await self._good(attempt))

    async def taken(self, attempt: str) -> int:
        return sum(charge["amount_captured"] for charge in await self._good(attempt))

    async def _good(self, attempt: str) -> list[dict[str, Any]]:
        books = await self._call("GET", "/_sandbox/ledger")
        mine = [c for c in books["charges"] if c["metadata"].get("paygate_attempt") == attempt]
        assert {charge["idempotency_key"] for charge in mine} <= {attempt}
        return [charge for charge in mine if charge["status"] == "succeeded"]

    async def refunded(self, reference: str) -> list[int]:
        books = await self._call("GET", "/_sandbox/ledger")
        return [r["amount"] for r in books["refunds"] if r["payment_intent"] == reference]

    async def submissions(self, dispute: str) -> int:
        books = await self._call("GET", "/_sandbox/ledger")
        (count,) = [d["submission_count"] for d in books["disputes"] if d["id"] == dispute]
        return int(count)

    async def uploaded(self, file: str) -> str:
        books = await self._call("GET", "/_sandbox/ledger")
        (digest,) = [each["sha256"] for each in books["files"] if each["id"] == file]
        return str(digest)

    async def customers(self, customer: str) -> int:
        found = await self._stripe("GET", "/v1/customers", params={"limit": 100})
        marks = [each["metadata"].get("paygate_customer") for each in found["data"]]
        return marks.count(customer)

    async def details(self, reference: str) -> tuple[str | None, str | None]:
        found = await self._stripe("GET", f"/v1/customers/{reference}")
        return found["email"], found["name"]

    async def delete_customer(self, reference: str) -> None:
        await self._stripe("DELETE", f"/v1/customers/{reference}")

    async def account(self, account: Account, currency: Currency) -> str:
        if account == "unusable":
            return "pm_no_such_account"
        if currency == "usd":
            return US_ACCOUNTS[account]
        form = {
            "type": "sepa_debit",
            "sepa_debit[iban]": IBANS[account],
            "billing_details[name]": "Ada",
            "billing_details[email]": "ada@shop.example",
        }
        made = await self._stripe("POST", "/v1/payment_methods", data=form)
        return str(made["id"])

    async def banks_answer(self) -> None:
        order = {"advance_seconds": BANKS_ANSWER_SECONDS}
        await self._call("POST", "/_sandbox/clock", json=order)

    async def transfer(self, customer: str, units: int, currency: Currency) -> None:
        path = f"/v1/test_helpers/customers/{customer}/fund_cash_balance"
        form = {"amount": str(units), "currency": str(currency)}
        await self._stripe("POST", path, data=form)

    async def delivered(self, reference: str) -> list[Delivery]:
        """What arrived so far, once the payment's last event did."""
        for _ in range(100):
            found: list[Delivery] = [
                (request.body, request.headers)
                for request in self._inbox.requests
                if reference.encode() in request.body
            ]
            if any(b'"payment_intent.succeeded"' in body for body, _ in found):
                return found
            await asyncio.sleep(0.05)
        raise AssertionError("the sandbox delivered nothing")

    async def pays_out(self, currency: Currency, kind: Payout) -> str:
        order = {"currency": currency, **PAYOUTS[kind]}
        made = await self._call("POST", "/_sandbox/payouts", json=order)
        [payout] = made["payouts"]
        return str(payout["id"])

    async def days_pass(self) -> None:
        await self._call("POST", "/_sandbox/clock", json={"advance_seconds": DAYS_PASS_SECONDS})

    async def moves(self, units: int, currency: Currency, word: str) -> None:
        order = {"type": word, "amount": units, "currency": currency}
        await self._call("POST", "/_sandbox/adjustments", json=order)

    async def converts(self, paid: Currency, kept: Currency, rate: str) -> None:
        order = {"settlement_currency": kept, "rates": {paid: rate}}
        await self._call("POST", "/_sandbox/account", json=order)

    async def books_in_two(self) -> None:
        await self._call("POST", "/_sandbox/account", json={"partial_capture": "two_rows"})

    async def books_as_ever(self) -> None:
        order: dict[str, Any] = {
            "settlement_currency": None,
            "rates": {},
            "partial_capture": "one_row",
        }
        await self._call("POST", "/_sandbox/account", json=order)

    async def payout_delivery(self, payout: str) -> Delivery:
        return await self._arrived(b'"payout.reconciliation_completed"', payout)

    async def money_left_delivery(self, customer: str) -> Delivery:
        return await self._arrived(b'"cash_balance.funds_available"', customer)

    async def _arrived(self, kind: bytes, about: str) -> Delivery:
        for _ in range(100):
            for request in self._inbox.requests:
                if kind in request.body and about.encode() in request.body:
                    return request.body, request.headers
            await asyncio.sleep(0.05)
        raise AssertionError("the sandbox delivered nothing")

    async def _stripe(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return await self._call(method, path, headers=AUTHORIZED, **arguments)

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        async with self._session.request(method, self.url + path, **arguments) as response:
            body = await response.json()
            assert response.status < 300, body
            assert isinstance(body, dict)
            return body


@pytest.fixture(scope="class")
async def stage(sandbox: str) -> AsyncIterator[tuple[Sandbox, Subject]]:
    inbox = StripeServer()
    inbox.otherwise = answer({})
    await inbox.start()
    async with aiohttp.ClientSession() as session:
        control = Sandbox(sandbox, session, inbox)
        secrets = (Secret(await control.register()),)
        provider, unauthorised = (
            StripeProvider(settings(sandbox, api_key=Secret(key), webhook_secrets=secrets))
            for key in (SECRET_KEY, "sk_test_unknown")
        )
        yield control, _subject(control, provider, unauthorised)
        await provider.close()
        await unauthorised.close()
    await inbox.stop()


def _subject(control: Sandbox, provider: StripeProvider, unauthorised: StripeProvider) -> Subject:
    return Subject(
        provider=provider,
        unauthorised=unauthorised,
        token_approved="pm_card_visa",
        token_declined="pm_card_visa_chargeDeclined",
        token_lost_card="pm_card_visa_chargeDeclinedLostCard",
        token_challenged="pm_card_threeDSecure2Required",
        token_unusable="pm_no_such_card",
        token_refund_pending="pm_card_pendingRefund",
        token_refund_failing="pm_card_refundFail",
        token_disputed="pm_card_createDispute",
        token_inquired="pm_card_createDisputeInquiry",
        token_compliance="pm_card_createComplianceDispute",
        token_warned="pm_card_createIssuerFraudRecord",
        token_available="pm_card_bypassPending",
        winning_texts={"uncategorized_text": "winning_evidence"},
        installation=INSTALLATION,
        card=("visa", "4242"),
        absent_reference="pi_3QabsentAbsentAbsent00000",
        fault=control.fault,
        charged=control.charged,
        taken=control.taken,
        refunded=control.refunded,
        submissions=control.submissions,
        uploaded=control.uploaded,
        calm=control.clear,
        customers=control.customers,
        details=control.details,
        delete_customer=control.delete_customer,
        account=control.account,
        banks_answer=control.banks_answer,
        transfer=control.transfer,
        delivered=control.delivered,
        pays_out=control.pays_out,
        days_pass=control.days_pass,
        moves=control.moves,
        converts=control.converts,
        books_in_two=control.books_in_two,
        books_as_ever=control.books_as_ever,
        payout_delivery=control.payout_delivery,
        money_left_delivery=control.money_left_delivery,
    )


@pytest.fixture
async def subject(stage: tuple[Sandbox, Subject]) -> AsyncIterator[Subject]:
    control, subject = stage
    yield subject
    await control.clear()


class TestStripe(ProviderConformance):
    pass


class TestStripeMethods(MethodConformance):
    pass


class TestStripeHolds(HoldConformance):
    pass


class TestStripeRefunds(RefundConformance):
    pass


class TestStripePayouts(PayoutConformance):
    pass


class TestStripeDisputes(DisputeConformance):
    pass


class TestStripeCustomers(CustomerConformance):
    pass


class TestStripeTransfers(TransferConformance):
    pass


class TestStripeDebits(DebitConformance):
    pass

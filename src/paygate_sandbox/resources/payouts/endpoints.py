"""The calls of payouts: those that a merchant makes by hand, and all of them read.

It must never pay out more than is available.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, Created, trim, window
from paygate_sandbox.protocol.parameters import (
    Integer,
    Metadata,
    OneOf,
    Parameters,
    Text,
    Unsupported,
    merge_metadata,
)
from paygate_sandbox.resources.balance.fees import instant_fee
from paygate_sandbox.resources.balance.rows import Movement, book
from paygate_sandbox.resources.currencies import Currency
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.payouts import payout as payouts
from paygate_sandbox.resources.payouts.payout import KIND, Terms
from paygate_sandbox.store.objects import Record

_STATUSES = ("pending", "in_transit", "paid", "failed", "canceled")


def create(call: Call) -> Record:
    params = call.params
    return pay_out(
        call.books,
        Terms(
            amount=params["amount"],
            currency=params["currency"],
            automatic=False,
            method=params.get("method", "standard"),
            description=params.get("description"),
            statement_descriptor=params.get("statement_descriptor"),
            metadata=merge_metadata({}, params.get("metadata", {})),
        ),
    )


def pay_out(books: Books, terms: Terms) -> Record:
    """A payout by hand. What it is made of, nobody is told: its row is one on the balance, and a
    line of the next automatic payout; only one of all that there is ends with its rows.
    """
    free = books.balance_rows.available(terms.currency, books.now)
    if terms.amount > free:
        raise StripeError(
            "You have insufficient funds in your Stripe account for this payout. Your card "
            "balance is too low. You can use the /v1/balance endpoint to view your Stripe balance "
            "(for more details, see stripe.com/docs/api#balance).",
            code="balance_insufficient",
        )
    payout = payouts.begin(books, terms)
    if terms.method == "instant":
        book(
            books,
            Movement(
                type="stripe_fee",
                reporting_category="fee",
                amount=-instant_fee(terms.amount),
                currency=terms.currency,
                description="Instant payout fee",
            ),
        )
    elif terms.amount == books.balance_rows.unpaid(terms.currency, books.now).net:
        now = books.now
        books.pay_out(lambda rows: rows.take(payout.id, terms.currency, now))
    return payout


def retrieve(call: Call) -> Record:
    return call.load(KIND)


def update(call: Call) -> Record:
    payout = call.load(KIND)
    if "metadata" in call.params:
        previous = {"metadata": payout.body["metadata"]}
        given: dict[str, Any] | None = call.params["metadata"]
        payout.body["metadata"] = merge_metadata(payout.body["metadata"], given)
        call.books.update(payout)
        call.books.emit("payout.updated", payout, previous)
    return payout


def cancel(call: Call) -> Record:
    payout = call.load(KIND)
    if payout.body["automatic"]:
        raise StripeError("You can't cancel automatic Stripe payouts.")
    if payout.body["status"] != "pending":
        raise StripeError("Payouts can only be canceled while they are pending.")
    payouts.cancel(call.books, payout)
    return payout


def list_payouts(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor(KIND, cursor), KIND)
    since, until = params.get("arrival_date", (None, None))
    wanted = {"status": params.get("status"), "arrives_since": since, "arrives_until": until}
    filters = {name: value for name, value in wanted.items() if value is not None}
    return Page(*trim(objects.page(KIND, asked, filters), asked))


ENDPOINTS = (
    Endpoint("GET", "payouts/{}", KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "payouts/{}",
        KIND,
        "payouts",
        Parameters({"metadata": Metadata(unsettable=True)}),
        update,
    ),
    Endpoint("POST", "payouts/{}/cancel", KIND, "payouts", Parameters(), cancel),
    Endpoint(
        "POST",
        "payouts",
        KIND,
        "payouts",
        Parameters(
            {
                "amount": Integer(minimum=1),
                "currency": Currency(),
                "description": Text(),
                "destination": Unsupported(),
                "metadata": Metadata(),
                "method": OneOf(("standard", "instant")),
                "payout_method": Unsupported(),
                "source_type": OneOf(("card",)),
                "statement_descriptor": Text(max_length=22),
            },
            required=("amount", "currency"),
        ),
        create,
    ),
    Endpoint(
        "GET",
        "payouts",
        KIND,
        "list",
        Parameters(
            {
                **LIST_PARAMETERS,
                "arrival_date": Created(),
                "destination": Unsupported(),
                "status": OneOf(_STATUSES),
            }
        ),
        list_payouts,
        is_list=True,
    ),
)

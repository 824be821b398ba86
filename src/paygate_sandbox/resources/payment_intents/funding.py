"""The tester's own transfer: money that a customer's bank would have sent.

It must never ask which payment it is for: that is found out as from a real transfer.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.parameters import Integer, Parameters, Text
from paygate_sandbox.resources import cash_balance
from paygate_sandbox.resources.currencies import MAXIMUM_AMOUNT, Currency
from paygate_sandbox.resources.endpoint import Call, Endpoint
from paygate_sandbox.resources.method_types import TRANSFER_TYPES, check_currency
from paygate_sandbox.resources.payment_intents import transfer
from paygate_sandbox.resources.virtual_accounts import sender
from paygate_sandbox.store.objects import Record


def fund(call: Call) -> Record:
    params = call.params
    currency: str = params["currency"]
    check_currency(["customer_balance"], currency)
    customer = call.load("customer")
    return receive(call.books, customer, currency, params["amount"], params.get("reference"))


def receive(
    books: Books, customer: Record, currency: str, amount: int, reference: str | None
) -> Record:
    """The transfer has come; answers its own movement."""
    kind = TRANSFER_TYPES[currency]
    details = {"bank_transfer": {**sender(kind), "reference": reference, "type": kind}}
    funded = cash_balance.move(books, customer, currency, amount, {"funded": details})
    intent = transfer.waiting(books, customer, currency, reference)
    if intent is not None:
        transfer.apply_funds(books, intent, customer)
    if cash_balance.available(customer, currency):
        cash_balance.announce(books, customer)
    return funded


ENDPOINTS = (
    Endpoint(
        "POST",
        "test_helpers/customers/{}/fund_cash_balance",
        "customer_cash_balance_transaction",
        "fund",
        Parameters(
            {
                "amount": Integer(minimum=1, maximum=MAXIMUM_AMOUNT),
                "currency": Currency(),
                "reference": Text(500),
            },
            required=("amount", "currency"),
        ),
        fund,
    ),
)

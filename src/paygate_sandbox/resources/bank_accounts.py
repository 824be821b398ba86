"""Stripe's test bank accounts for debits and what becomes of a debit from each, as tables.

Pure data: the tokens of US accounts, and the test IBANs of SEPA. It must never act on a payment.
"""

from dataclasses import dataclass
from typing import Any

# Debits are slow. Stripe's test accounts answer after about three minutes; those that stand for a
# slow bank after "at least three": twice as long here.
ENDS_AFTER_SECONDS = 180
_SLOW_SECONDS = 360


@dataclass(frozen=True, slots=True)
class BankAccount:
    last4: str
    failure: str | None = None
    seconds: int | None = ENDS_AFTER_SECONDS  # None: the bank never answers
    returned: bool = False  # the payer has it back some time later, and nobody can object

    def debit(self) -> dict[str, Any]:
        """What a payment method remembers of it: the account's number is not among it."""
        return {"failure": self.failure, "seconds": self.seconds, "returned": self.returned}


FAILURES = {
    "account_closed": "The customer's bank account has been closed.",
    "debit_not_authorized": "The customer has notified their bank that this payment was "
    "unauthorized.",
    "generic_could_not_process": "The customer's bank could not process this payment.",
    "insufficient_funds": "The customer's account has insufficient funds to cover this payment.",
    "no_account": "The customer's bank account could not be located.",
}

US_ACCOUNTS = {
    "pm_usBankAccount_success": BankAccount("6789"),
    "pm_usBankAccount_accountClosed": BankAccount("1113", "account_closed"),
    "pm_usBankAccount_noAccount": BankAccount("1116", "no_account"),
    "pm_usBankAccount_insufficientFunds": BankAccount("2227", "insufficient_funds"),
    "pm_usBankAccount_debitNotAuthorized": BankAccount("3335", "debit_not_authorized"),
    "pm_usBankAccount_dispute": BankAccount("5559", returned=True),
    "pm_usBankAccount_processing": BankAccount("0009", seconds=None),
}

IBANS = {
    "AT611904300234573201": BankAccount("3201"),
    "AT321904300235473204": BankAccount("3204", seconds=_SLOW_SECONDS),
    "AT861904300235473202": BankAccount("3202", "generic_could_not_process"),
    "AT051904300235473205": BankAccount("3205", "generic_could_not_process", _SLOW_SECONDS),
}
UNUSABLE_IBAN = "AT511904300000066666"

"""The accounts that customers push money to: one for each customer and kind of transfer.

They are made of the customer's id alone, so that the same customer always sees the same account;
checksums are right, banks are not real. It must never know an amount.
"""

import hashlib

from paygate_sandbox.resources.method_types import TRANSFER_CURRENCIES
from paygate_sandbox.store.objects import JsonObject

_HOLDER = "Paygate Sandbox"
# The digits of an account number in each country where Stripe opens euro accounts.
_BBAN_DIGITS = {"BE": 12, "DE": 18, "ES": 20, "FR": 23, "IE": 14, "NL": 10}
# Where the account holder is shown to live.
_COUNTRIES = {
    "eu_bank_transfer": "IE",
    "gb_bank_transfer": "GB",
    "jp_bank_transfer": "JP",
    "mx_bank_transfer": "MX",
    "us_bank_transfer": "US",
}
_ROUTING_NUMBER = "110000000"
_BANK = "Paygate Sandbox Bank"


def financial_addresses(customer: str, kind: str, country: str | None) -> list[JsonObject]:
    """`country` is the one of a euro account."""
    home = country or _COUNTRIES[kind]
    common = {
        "account_holder_address": _address(home),
        "account_holder_name": _HOLDER,
        "bank_address": _address(home),
    }
    match kind:
        case "eu_bank_transfer":
            record = {"bic": f"PGSB{home}22", "country": home, "iban": _iban(customer, home)}
            return [_shown("iban", ["sepa"], common | record)]
        case "gb_bank_transfer":
            record = {"account_number": _digits(customer, 8), "sort_code": "200000"}
            return [_shown("sort_code", ["bacs", "fps"], common | record)]
        case "jp_bank_transfer":
            record = {
                "account_number": _digits(customer, 7),
                "account_type": "futsu",
                "bank_code": "9999",
                "bank_name": _BANK,
                "branch_code": "001",
                "branch_name": "Main",
            }
            return [_shown("zengin", ["zengin"], common | record)]
        case "mx_bank_transfer":
            record = {"bank_code": "646", "bank_name": _BANK, "clabe": _clabe(customer)}
            return [_shown("spei", ["spei"], common | record)]
        case _:
            record = {
                "account_number": _digits(customer, 12),
                "account_type": "checking",
                "bank_name": _BANK,
                "routing_number": _ROUTING_NUMBER,
            }
            return [_shown("aba", ["ach", "domestic_wire_us"], common | record)]


def sender(kind: str) -> JsonObject:
    """Who a test transfer comes from, where the kind of transfer tells it."""
    known: dict[str, JsonObject] = {
        "eu_bank_transfer": {"bic": "PGSBIE22", "iban_last4": "7089", "sender_name": "Test payer"},
        "gb_bank_transfer": {
            "account_number_last4": "6789",
            "sender_name": "Test payer",
            "sort_code": "200000",
        },
        "jp_bank_transfer": {
            "sender_bank": _BANK,
            "sender_branch": "Main",
            "sender_name": "Test payer",
        },
        "us_bank_transfer": {"network": "ach", "sender_name": "Test payer"},
    }
    assert kind in TRANSFER_CURRENCIES, "only what can be received has a sender"
    return {kind: known[kind]} if kind in known else {}


def _shown(kind: str, networks: list[str], record: JsonObject) -> JsonObject:
    return {kind: record, "supported_networks": networks, "type": kind}


def _address(country: str) -> JsonObject:
    return {
        "city": "Testville",
        "country": country,
        "line1": "1 Sandbox Street",
        "line2": None,
        "postal_code": "00001",
        "state": None,
    }


def _digits(customer: str, count: int) -> str:
    return str(int(hashlib.sha256(customer.encode()).hexdigest(), 16))[-count:]


def _iban(customer: str, country: str) -> str:
    bban = _digits(customer, _BBAN_DIGITS[country])
    if country in {"IE", "NL"}:  # their numbers begin with the bank's letters
        bban = "PGSB" + bban
    number = "".join(str(int(character, 36)) for character in f"{bban}{country}00")
    return f"{country}{98 - int(number) % 97:02}{bban}"


def _clabe(customer: str) -> str:
    digits = "646" + _digits(customer, 14)
    weighted = sum(int(digit) * (3, 7, 1)[place % 3] % 10 for place, digit in enumerate(digits))
    return digits + str(-weighted % 10)

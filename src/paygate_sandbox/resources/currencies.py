"""Currencies: which exist, the least and most that may be charged, and which amounts exist.

Pure data and checks. It must never convert between currencies.
"""

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.parameters import leaf

CURRENCIES = frozenset(
    """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn
    bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf
    gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr
    lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen
    pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd
    top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
    """.split()  # noqa: SIM905 - names in a paragraph, not one a line
)

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - names in a paragraph, not one a line
)
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))

# Amounts that do not exist although their digits would allow them: the last digit of a
# three-decimal currency is 0, and two currencies without minor units are sent with two.
_MULTIPLES = {**dict.fromkeys(THREE_DECIMAL, 10), "isk": 100, "ugx": 100}

# The least charge, in minor units, where Stripe publishes one.
MINIMUM_AMOUNTS = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MAXIMUM_AMOUNT = 99_999_999  # eight digits, whatever the currency

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


class Currency:
    def read(self, name: str, raw: object) -> str:
        given = leaf(name, raw, "string")
        code = given.lower()
        if code not in CURRENCIES:
            supported = ", ".join(["usd", *sorted(CURRENCIES - {"usd"})])
            raise StripeError(
                f"Invalid currency: {given[:20]}. Stripe currently supports these currencies: "
                f"{supported}",
                param=name,
            )
        return code


def check_amount(amount: int, currency: str, *, param: str = "amount") -> None:
    least = MINIMUM_AMOUNTS.get(currency, 1)
    if amount < least:
        raise StripeError(
            f"Amount must be at least {display(least, currency)}",
            code="amount_too_small",
            param=param,
        )
    if amount > MAXIMUM_AMOUNT:
        raise StripeError(
            f"Amount must be no more than {display(MAXIMUM_AMOUNT, currency)}",
            code="amount_too_large",
            param=param,
        )
    multiple = _MULTIPLES.get(currency, 1)
    if amount % multiple:
        raise StripeError(
            f"Invalid amount: amounts in {currency} must be a multiple of {multiple}.",
            code="parameter_invalid_integer",
            param=param,
        )


def exponent(currency: str) -> int:
    """How many decimals Stripe's amounts of a currency have: its own rule, not ISO 4217's."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def display(amount: int, currency: str) -> str:
    digits = exponent(currency)
    whole, rest = divmod(amount, 10**digits)
    figure = f"{whole:,}.{rest:0{digits}d}" if digits else f"{whole:,}"
    return f"{_SYMBOLS.get(currency, '')}{figure} {currency}"

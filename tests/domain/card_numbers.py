"""Card numbers and IBANs to be found, every way to spell one, and texts that are neither."""

import base64
import hashlib
import random
import uuid
from collections.abc import Callable
from typing import Final

from paygate.domain.ids import PREFIXES, make_id

NUMBERS: Final = (
    *("4242424242424242", "4000056655665556", "4222222222222", "4000000000003220"),  # Visa
    *("5555555555554444", "2223003122003222", "5200828282828210", "5105105105105100"),  # Mastercard
    *("378282246310005", "371449635398431"),  # American Express
    *("6011111111111117", "6011000990139424", "6011981111111113"),  # Discover
    *("3056930009020004", "36227206271667", "38520000023237", "30569309025904"),  # Diners
    *("3566002020360505", "3530111333300000"),  # JCB
    *("6200000000000005", "6200000000000047", "6205500000000000004"),  # UnionPay
    *("6555900000604105", "6759649826438453", "5019717010103742"),  # BCcard, Maestro, Dankort
)
"""Published test numbers of every brand."""

IBANS: Final = (
    *("DE89370400440532013000", "AT611904300234573201", "CH9300762011623852957"),
    *("GB82WEST12345698765432", "FR1420041010050500013M02606", "NL91ABNA0417164300"),
    *("BE68539007547034", "ES9121000418450200051332", "IT60X0542811101000000123456"),
    *("NO9386011117947", "PL61109010140000071219812874", "SE4550000000058398257466"),
    *("MT84MALT011000012345MTLCAST001S", "KZ86125KZT5004100100", "BR1800360305000010009795493C1"),
    *("SC18SSCB11010000000000001497USD", "LC55HEMM000100010012001200023015"),
)
"""The registry's own examples."""


def fours(text: str, between: str = " ") -> str:
    """In groups of four."""
    return between.join(text[i : i + 4] for i in range(0, len(text), 4))


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "spaces": fours,
    "double spaces": lambda n: fours(n, "  "),
    "dashes": lambda n: fours(n, "-"),
    "long dashes": lambda n: fours(n, " \u2013 "),
    "dots": lambda n: fours(n, "."),
    "slashes": lambda n: fours(n, "/"),
    "pluses": lambda n: fours(n, "+"),
    "tabs": lambda n: fours(n, "\t"),
    "no-break spaces": lambda n: fours(n, "\u00a0"),
    "zero-width": "\u200b".join,
    "soft hyphens": lambda n: fours(n, "\u00ad"),
    "each digit apart": " ".join,
    "full-width": lambda n: "".join(chr(0xFF10 + int(d)) for d in n),
    "arabic": lambda n: "".join(chr(0x0660 + int(d)) for d in n),
    "mathematical": lambda n: "".join(chr(0x1D7D8 + int(d)) for d in n),
    "keycaps": lambda n: "".join(d + "\ufe0f\u20e3" for d in n),
    "percent-encoded": lambda n: "".join(f"%3{d}" for d in n),
    "percent-encoded twice": lambda n: "".join(f"%253{d}" for d in n),
    "percent-encoded spaces": lambda n: fours(n, "%20"),
    "glued to letters": lambda n: f"pan{n}x",
    "with expiry and code": lambda n: f"{fours(n)} 12/29 123",
    "after an order number": lambda n: f"2026/0042 {n}",
    "base64": _coded,
    "base64 of groups": lambda n: _coded(fours(n)),
    "base64 within": lambda n: _coded(f"card={n};"),
    "base64, url-safe": lambda n: base64.urlsafe_b64encode(b"~?" + n.encode()).decode().rstrip("="),
}

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Innocent:
    """Texts of a shop's day that hold no card data, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def digits(self, count: int) -> str:
        return "".join(self._random.choices("0123456789", k=count))

    def letters(self, count: int) -> str:
        return "".join(self._random.choices(LETTERS, k=count))

    def kinds(self) -> dict[str, Callable[[], str]]:
        """A maker for every kind."""
        pick, upto = self._random.choice, self._random.randrange
        prefixes = list(PREFIXES.values())

        def uuid4() -> uuid.UUID:
            return uuid.UUID(int=self._random.getrandbits(128), version=4)

        def id_() -> str:
            return make_id(
                pick(prefixes), upto(17 * 10**11, 19 * 10**11), self._random.randbytes(10)
            )

        def creditor_reference() -> str:
            number = self.digits(15)
            return f"RF{98 - int(number + '271500') % 97:02}{number}"

        def day() -> str:
            return f"2026-{upto(1, 13):02}-{upto(1, 29):02}"

        return {
            "uuid": lambda: str(uuid4()),
            "uuid in hex": lambda: uuid4().hex,
            "sha-256": lambda: hashlib.sha256(self._random.randbytes(8)).hexdigest(),
            "base64": lambda: base64.b64encode(self._random.randbytes(32)).decode(),
            "seconds": lambda: str(upto(16 * 10**8, 19 * 10**8)),
            "milliseconds": lambda: str(upto(16 * 10**11, 19 * 10**11)),
            "microseconds": lambda: str(upto(16 * 10**14, 19 * 10**14)),
            "nanoseconds": lambda: str(upto(16 * 10**17, 19 * 10**17)),
            "time": lambda: f"{day()}T{upto(24):02}:{upto(60):02}:{upto(60):02}.{self.digits(6)}Z",
            "day and time": lambda: f"{day()} {upto(24):02}:{upto(60):02}:{upto(60):02}",
            "phone": lambda: f"+{pick(('49170', '447', '1415', '33612', '4366'))}{self.digits(8)}",
            "phone in groups": lambda: (
                f"+{pick(('49 170', '44 7911', '1-415'))} {self.digits(3)}-{self.digits(4)}"
            ),
            "our id": id_,
            "client secret": lambda: f"{id_()}_secret_{self.letters(32)}",
            "provider token": lambda: f"pm_1Mq{self.letters(21)}",
            "order": lambda: f"ORD-2026{upto(1, 13):02}{upto(1, 29):02}-{self.digits(6)}",
            "invoice": lambda: f"INV/{upto(2020, 2030)}/{self.digits(4)}/{self.digits(5)}",
            "short number": lambda: self.digits(upto(6, 13)),
            "creditor reference": creditor_reference,
            "acquirer reference": lambda: "7" + self.digits(22),
            "address": lambda: ".".join(str(upto(256)) for _ in range(4)),
            "prose": lambda: (
                f"Order {self.digits(6)}: {upto(9)} x size {upto(50)}, 10/26, 1,234.50"
            ),
        }

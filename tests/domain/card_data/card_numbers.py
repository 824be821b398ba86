"""Card numbers and IBANs to be found, every way to spell one, and texts that are neither."""

import base64
import hashlib
import random
import uuid
from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

from paygate.domain.ids import PREFIXES, make_id

NUMBERS: Final = (
    *("4242424242424242", "4000056655665556", "4000000000003220"),  # Visa
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


def luhn_digit(digits: str) -> str:
    """The check digit that goes behind."""
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[::-2]]
    return str(-(sum(doubled) + sum(map(int, digits[-2::-2]))) % 10)


def generated(seed: int, count: int) -> list[str]:
    """Valid numbers of all large brands, in the lengths that they have today."""
    chance = random.Random(seed)
    brands = (
        *(("4", 16), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15)),
        *(("37", 15), ("36", 14), ("300", 14), ("3800", 16), ("3528", 16), ("3589", 19)),
        *(("6011", 16), ("644", 16), ("65", 16), ("62", 16), ("62", 19), ("5018", 16)),
        *(("6759", 18), ("6763", 19), ("2200", 16), ("9792", 16), ("8600", 16), ("9860", 16)),
    )
    numbers = []
    for _ in range(count):
        prefix, length = chance.choice(brands)
        digits = prefix + "".join(chance.choices("0123456789", k=length - 1 - len(prefix)))
        numbers.append(digits + luhn_digit(digits))
    return numbers


def _thousands(text: str) -> str:
    return f"{int(text):,}"


def _blocks(text: str, *sizes: int) -> str:
    """In groups of these sizes, with what is left behind."""
    ends = [*accumulate(sizes), len(text)]
    return " ".join(text[a:b] for a, b in pairwise([0, *ends]) if a < b)


SEPARATORS: Final = (
    *("     ", " " * 8, ",", ", ", "|", " | ", "+", "+ ", "_", "\\", "*", "#", "=", ";", ":", "~"),
    *("\u2044", "\u2215", "\u3164", "\u1160", "\uffa0", "\u2800", "\u115f", "\u2003", "\u3000"),
    *("\u00b7", "\u2022", "\u2212", "\u30fb", "\u3001", "\uff0c", "\uff5c", "\r\n", "\u2028"),
    *("&nbsp;", "&#32;", "&#x2F;", "&ndash;", "&amp;nbsp;", "%0A", "%25252D", "\\n", "\\u002d"),
    *("','", '", "', "`", "^", "\u200b \u200b", "\U0001f4b3"),
)
"""What may stand between two groups."""

DIGITS: Final = (
    *("\u3007\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d",),  # Chinese
    *("\u96f6\u58f9\u8cb3\u53c1\u8086\u4f0d\u9678\u67d2\u634c\u7396",),  # Chinese, in full
    "0" + "".join(map(chr, range(0x1369, 0x1372))),  # Ethiopic, which has no zero
    *("".join(map(chr, range(zero, zero + 10))) for zero in (0x6F0, 0x966, 0xE50, 0x17E0, 0x1D7EC)),
    "\u24ea" + "".join(map(chr, range(0x2460, 0x2469))),  # in circles
    "\u2070\u00b9\u00b2\u00b3" + "".join(map(chr, range(0x2074, 0x207A))),  # superscript
)
"""Ten digits of a script each."""


def _in_script(script: str, text: str) -> str:
    return "".join(script[int(digit)] for digit in text)


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
    "thousands": _thousands,
    "a zero before": lambda n: "0" + n,
    "filled up with zeros": lambda n: n.zfill(24),
    "a plus before": lambda n: "+" + n,
    "two blocks": lambda n: _blocks(n, 6),
    "halves": lambda n: _blocks(n, 8),
    "pairs": lambda n: " ".join(n[i : i + 2] for i in range(0, len(n), 2)),
    "as on a card": lambda n: _blocks(n, 4, 6) if len(n) < 16 else fours(n),
    "percent-encoded three times": lambda n: "".join(f"%25253{d}" for d in n),
    "percent-encoded seven times": lambda n: "".join(f"%{'25' * 6}3{d}" for d in n),
    "HTML entities": lambda n: "".join(f"&#{ord(d)};" for d in n),
    "HTML entities in hex": lambda n: "".join(f"&#x{ord(d):x};" for d in n),
    "HTML entities, percent-encoded": lambda n: "".join(f"%26%23{ord(d)}%3B" for d in n),
    "JSON in JSON": lambda n: "".join(f"\\\\u003{d}" for d in n),
    "base64 of percent-encoded": lambda n: _coded("".join(f"%3{d}" for d in n)),
    **{f"between: {s!a}": partial(fours, between=s) for s in SEPARATORS},
    **{f"digits: {s[1]!a}": partial(_in_script, s) for s in DIGITS},
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

    def checked(self, digits: str) -> str:
        return digits + luhn_digit(digits)

    def siret(self) -> str:
        """A company's number and one of its first hundred places: nearly all have no more."""
        company = self.checked(self.digits(8))
        return self.checked(f"{company}00{self._random.randrange(100):02}")

    def goods(self, length: int) -> str:
        digits = self.digits(length - 1)
        total = sum(int(d) * (3, 1)[i % 2] for i, d in enumerate(reversed(digits)))
        return f"{digits}{-total % 10}"

    def person(self) -> str:
        """A South African identity number."""
        upto = self._random.randrange
        born = f"{upto(100):02}{upto(1, 13):02}{upto(1, 29):02}"
        return self.checked(f"{born}{self.digits(4)}{upto(2)}8")

    def place(self) -> str:
        """Latitude and longitude, of Europe's cities too often for chance."""
        chance = self._random
        latitude = chance.choice((chance.uniform(50, 56), chance.uniform(-90, 90)))
        places = chance.randrange(4, 15)
        return f"{latitude:.{places}f},{chance.uniform(-180, 180):.{places}f}"

    def shop_id(self, length: int) -> str:
        """Shopify's: orders have 13 digits, goods and their variants 13 and 14."""
        first = self._random.choice("3456789") if length == 13 else self._random.choice("34")
        return first + self.digits(length - 1)

    def named(self) -> dict[str, Callable[[], str]]:
        """Numbers under their fields' names, which tell them from cards."""
        upto = self._random.randrange
        return {
            "kid": lambda: self.checked(self.digits(upto(12, 19))),
            "metadata.ocr_number": lambda: self.checked(self.digits(upto(12, 19))),
            "customer.siret": lambda: self.checked(self.checked(self.digits(8)) + self.digits(4)),
            "metadata.gtin": lambda: self.goods(14),
            "variant_id": lambda: self.shop_id(14),
            "metadata.shopifyProductId": lambda: self.shop_id(14),
        }

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
            "SIRET": self.siret,
            "SIRET in groups": lambda: _blocks(self.siret(), 3, 3, 3),
            "South African id": self.person,
            "EAN-13": lambda: self.goods(13),
            "coordinates": self.place,
            "coordinate": lambda: self.place().split(",")[0],
            "Shopify order": lambda: self.shop_id(13),
            "Shopify global id": lambda: f"gid://shopify/ProductVariant/{self.shop_id(14)}",
            "Amazon order": lambda: (
                f"{pick(('302', '404', '028'))}-{self.digits(7)}-{self.digits(7)}"
            ),
            "KID in a text": lambda: f"Betal med KID {self.checked(self.digits(upto(12, 19)))}",
            "OCR in a text": lambda: f"OCR-nummer: {self.checked(self.digits(upto(12, 19)))}",
            "two phones": lambda: f"+49 170 {self.digits(7)}, +39 06 {self.digits(8)}",
            "prices": lambda: ", ".join(f"{upto(1, 200)}.{upto(100):02}" for _ in range(12)),
            "addresses": lambda: " ".join(
                ".".join(str(upto(256)) for _ in range(4)) for _ in range(3)
            ),
            "sizes": lambda: " ".join(str(upto(20, 140)) for _ in range(20)),
            "days": lambda: ", ".join(f"{upto(1, 29):02}.{upto(1, 13):02}.2026" for _ in range(4)),
            "acquirer reference": lambda: "7" + self.digits(22),
            "address": lambda: ".".join(str(upto(256)) for _ in range(4)),
            "prose": lambda: (
                f"Order {self.digits(6)}: {upto(9)} x size {upto(50)}, 10/26, 1,234.50"
            ),
        }

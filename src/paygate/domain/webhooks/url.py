"""Which URLs a webhook endpoint may have, as far as their text tells. Where they lead to is judged
when they are connected to.
"""

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.return_url import MAX_LENGTH, parse_web_url

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_webhook_url(url: str, *, production: bool) -> str:
    """An address that events may be sent to; without TLS in development alone.

    Raises:
        Refusal: `parameter_invalid`.
    """
    parts = parse_web_url(url) if len(url) <= MAX_LENGTH else None
    secure = parts is not None and (parts.scheme == "https" or not production)
    if parts is None or not secure or parts.fragment is not None or _is_odd(parts.host):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"url must be an absolute https URL of at most {MAX_LENGTH} characters, without"
            " credentials and fragment",
            param="url",
        )
    return url


def _is_odd(host: str) -> bool:
    """Whether it is an IPv4 address in a spelling that some take for a name: `127.1`, `0x7f000001`
    (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    """
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return False
    try:
        IPv4Address(host)
    except AddressValueError:
        return True
    return False

"""Takes card numbers out of what Stripe sent, before it is kept; pure.

Descriptions, names and metadata are what people typed into a dashboard or another system of theirs.
"""

import re
from typing import Final

from paygate.domain.card_data.mask import masked, masked_in, may_be_masked
from paygate.providers.contract import MaskedBody
from paygate.providers.stripe.decoding import decoded, encoded
from paygate.providers.stripe.fields import is_made_id

_ACCOUNTS: Final = "financial_addresses"
"""The accounts that a payer's transfer goes to: an IBAN, a CLABE, an account's number."""
_ID_FIELDS: Final = re.compile(
    r"(?!.*metadata\.(?!paygate_))(?:.*\.)?"
    r"(?:id|object_id|idempotency_key|client_secret|metadata\.paygate_[a-z_]+"
    r"|(?:latest_|failure_|source_)?(?:charge|refund|payout|dispute|transfer|transaction"
    r"|balance_transaction|customer|invoice|mandate|source|payment_intent|payment_method))"
)
"""Where ids stand; in metadata ours alone."""


def masked_event(body: bytes) -> MaskedBody:
    """The event's bytes with its card numbers masked; of what is no JSON, the text's."""
    if not may_be_masked(body):
        return MaskedBody(body, 0)
    try:
        value, texts = masked_in(decoded(body), _stays)
        return MaskedBody(encoded(value) if texts else body, texts)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace")
        left = masked(text)
        return MaskedBody(body, 0) if left is text else MaskedBody(left.encode(), 1)


def _stays(path: str, text: str) -> bool:
    if _ACCOUNTS in path:
        return True
    return is_made_id(text) and _ID_FIELDS.fullmatch(path) is not None

"""Evidence: which fields there are, how long each may be, and what certain texts bring about.

It must never say how a dispute ends, only what was submitted.
"""

from typing import Any, Final

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError, missing_reference
from paygate_sandbox.protocol.parameters import Boolean, Hash, Parameter, Text, Unsupported
from paygate_sandbox.store.objects import JsonObject, Record

_LONG, _SHORT = 20_000, 5_000
_MOST_CHARACTERS = 150_000
# All files of one dispute together; each alone may have more.
_MOST_BYTES = 4_500_000
PURPOSE: Final = "dispute_evidence"
ENHANCED: Final = "enhanced_evidence"
COMPLIANCE: Final = ("visa_compliance", "mastercard_compliance")

_TEXTS: dict[str, int] = {
    "access_activity_log": _LONG,
    "billing_address": _SHORT,
    "cancellation_policy_disclosure": _LONG,
    "cancellation_rebuttal": _LONG,
    "customer_email_address": _SHORT,
    "customer_name": _SHORT,
    "customer_purchase_ip": _SHORT,
    "duplicate_charge_explanation": _LONG,
    "duplicate_charge_id": _SHORT,
    "product_description": _LONG,
    "refund_policy_disclosure": _LONG,
    "refund_refusal_explanation": _LONG,
    "service_date": _SHORT,
    "shipping_address": _SHORT,
    "shipping_carrier": _SHORT,
    "shipping_date": _SHORT,
    "shipping_tracking_number": _SHORT,
    "uncategorized_text": _LONG,
}
_FILES = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)
FIELDS: Final = (*sorted((*_TEXTS, *_FILES)),)

WINNING, LOSING, ESCALATING = "winning_evidence", "losing_evidence", "escalate_inquiry_evidence"
"""What `uncategorized_text` says to have a dispute end as a test wants it."""

_ACKNOWLEDGED = Hash({"fee_acknowledged": Boolean()}, ("fee_acknowledged",))
_PARAMETERS: dict[str, Parameter] = {
    **{name: Text(limit, unsettable=True) for name, limit in _TEXTS.items()},
    **{name: Text(unsettable=True) for name in _FILES},
    ENHANCED: Hash(
        {
            **dict.fromkeys(COMPLIANCE, _ACKNOWLEDGED),
            "visa_compelling_evidence_3": Unsupported(),
        }
    ),
}


class Evidence:
    """The parameter `evidence`: each field by its own limit, all texts within one."""

    _fields = Hash(_PARAMETERS)

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        given = self._fields.read(name, raw)
        if sum(len(given.get(text) or "") for text in _TEXTS) > _MOST_CHARACTERS:
            raise _too_long()
        return given


def nothing() -> JsonObject:
    """A dispute's evidence before there is any."""
    return {**dict.fromkeys(FIELDS), ENHANCED: {}}


def merged(books: Books, old: JsonObject, given: dict[str, Any]) -> JsonObject:
    """The evidence with what was given; a field that was given as nothing is emptied.

    Refused: a file that there is not, and more than all may have together.
    """
    for field in _FILES:
        if given.get(field) is not None:
            _file(books, given[field], f"evidence[{field}]")
    evidence = {**old, **{name: value for name, value in given.items() if name != ENHANCED}}
    evidence[ENHANCED] = {**old[ENHANCED], **given.get(ENHANCED, {})}
    if sum(len(evidence[text] or "") for text in _TEXTS) > _MOST_CHARACTERS:
        raise _too_long()
    sizes = [
        _file(books, evidence[f], f"evidence[{f}]").body["size"] for f in _FILES if evidence[f]
    ]
    if sum(sizes) > _MOST_BYTES:
        raise StripeError(
            "The combined size of all evidence files must not exceed 4.5 MB.", param="evidence"
        )
    return evidence


def is_some(evidence: JsonObject) -> bool:
    return any(evidence[field] for field in FIELDS)


def acknowledges(evidence: JsonObject, case: str) -> bool:
    """Whether the fee of a compliance case was agreed to."""
    return evidence[ENHANCED].get(case, {}).get("fee_acknowledged") is True


def _file(books: Books, file_id: str, param: str) -> Record:
    file = books.find("file", file_id)
    if file is None:
        raise missing_reference("file", file_id, param)
    if file.body["purpose"] != PURPOSE:
        raise StripeError(
            f"The file {file_id} has the purpose {file.body['purpose']}, not {PURPOSE}.",
            param=param,
        )
    return file


def _too_long() -> StripeError:
    return StripeError(
        "The combined character count of all evidence fields must not exceed 150,000 characters.",
        param="evidence",
    )

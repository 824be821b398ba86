"""What is ordered of a provider in a dispute. Built from records alone, so that a re-send is equal.

Every order names its idempotency key, which must be derived from what it does: the same submission
under two keys would be two, and a provider takes one.
"""

from collections.abc import Mapping

import msgspec

from paygate.domain.disputes.outcome import ComplianceNetwork


class UploadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Give the provider a file, to be named as evidence. A small one: a few megabytes at most."""

    key: str
    name: str
    """What the provider shows it as; nobody's path."""
    content_type: str
    """By its content: `application/pdf`, `image/jpeg` or `image/png`."""
    content: bytes


class EvidenceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Submit evidence, finally: there is one submission."""

    key: str
    provider_reference: str
    texts: Mapping[str, str]
    """By evidence field."""
    files: Mapping[str, str]
    """The provider's ids of uploaded files, by evidence field."""
    expected_submission_count: int
    """What the provider's count was when the evidence was put together; if it is another now,
    nothing is submitted.
    """
    fees_acknowledged: tuple[ComplianceNetwork, ...] = ()
    """The networks whose compliance fee the merchant agreed to pay."""


class AcceptOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Give the dispute up, for ever."""

    key: str
    provider_reference: str

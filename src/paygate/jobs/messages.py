"""Every job there is, as a closed union. A message holds ids alone: the queue is not sealed.

A message with a field that this version does not know was written by a later one and may mean
something else: it is not read, and waits in the queue for a version that knows the field.
"""

from datetime import timedelta
from typing import Final

import msgspec


class ApplyProviderEvent(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="apply_provider_event"
):
    """A provider event was received and waits to be applied."""

    merchant: str
    event: str


class CloseFailedPayment(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="close_failed_payment"
):
    """A confirm has failed for good, and the provider's object for it may be open still."""

    merchant: str
    attempt: str


class ConcludeSettlement(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="conclude_settlement"
):
    """A person has decided something of a settlement: it is summed and judged anew."""

    merchant: str
    settlement: str


class DeleteEvidenceFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="delete_evidence_file"
):
    """A file was evidence in a dispute, and another has taken its place or nothing has."""

    merchant: str
    file: str


class EraseCustomer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="erase_customer"):
    """The erasure of a customer has begun, and goes on until nothing is left."""

    merchant: str
    customer: str


class RaiseAlert(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="raise_alert"):
    """An occurrence waits to be counted by its alert."""

    merchant: str
    occurrence: str


class ReadSettlementReport(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="read_settlement_report"
):
    """A settlement report was uploaded, and waits to be read."""

    merchant: str
    settlement_import: str


class Reconcile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reconcile"):
    """A round of reconciliation was asked for, and is worked on until it has come to its end."""

    merchant: str
    reconciliation: str


class SettlePayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="settle_payout"):
    """There is news of a payout: its lines may all be there."""

    merchant: str
    settlement: str


class UpdateProviderCustomer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="update_provider_customer"
):
    """The details of a customer whom the provider knows have changed."""

    merchant: str
    customer: str


Message = (
    ApplyProviderEvent
    | CloseFailedPayment
    | ConcludeSettlement
    | DeleteEvidenceFile
    | EraseCustomer
    | RaiseAlert
    | ReadSettlementReport
    | Reconcile
    | SettlePayout
    | UpdateProviderCustomer
)

MESSAGES: Final[tuple[type[Message], ...]] = (
    ApplyProviderEvent,
    CloseFailedPayment,
    ConcludeSettlement,
    DeleteEvidenceFile,
    EraseCustomer,
    RaiseAlert,
    ReadSettlementReport,
    Reconcile,
    SettlePayout,
    UpdateProviderCustomer,
)


class Job(msgspec.Struct, frozen=True):
    """A message, and how long it waits before the worker may take it."""

    message: Message
    delay: timedelta = timedelta(0)


def entrypoint(kind: type[Message]) -> str:
    """The queue's name for a kind of message."""
    return str(kind.__struct_config__.tag)


def encode(message: Message) -> bytes:
    """The queue's payload."""
    return msgspec.json.encode(message)


def decode(payload: bytes) -> Message:
    """The message in a payload; raises `msgspec.ValidationError` when it is none."""
    message: Message = msgspec.json.decode(payload, type=Message)
    return message

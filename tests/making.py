"""Makes domain values for tests: everything a test does not care about has a default."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import generate_keyring, load_keyring
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.domain.access.roles import Action, Actor
from paygate.domain.audit import AuditEntry
from paygate.domain.ids import PREFIXES, make_id
from paygate.domain.money import Currency
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.payment_intent import (
    CaptureMethod,
    PaymentIntent,
    PaymentMethodType,
    Status,
    Trigger,
    advance,
)
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.storage.change import Change
from paygate.storage.records import Records

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_ticks = itertools.count()
_random = random.Random(20261124)


def new_id(kind: str) -> str:
    """A fresh id; ids made later sort later."""
    milliseconds = int(START.timestamp() * 1000) + next(_ticks)
    return make_id(PREFIXES[kind], milliseconds, _random.randbytes(10))


def make_records(folder: Path, installation: str = "in_test") -> Records:
    """Records sealed under a fresh keyring."""
    kms = FileKms.create(folder / "kek")
    keyring = load_keyring(kms, installation, generate_keyring(kms, installation))
    return Records(Sealer(keyring), BlindIndex(keyring))


def make_audit(merchant: str = "default", action: Action = Action.INTENT_CREATE) -> AuditEntry:
    """An audit entry by the gateway itself."""
    return AuditEntry(
        id=new_id("audit_entry"), merchant=merchant, at=START, actor=Actor("job"), action=action
    )


def make_intent(
    merchant: str = "default", *, amount: int = 1999, intent_id: str | None = None
) -> PaymentIntent:
    """An intent as it is created."""
    return PaymentIntent(
        id=intent_id or new_id("payment_intent"),
        merchant=merchant,
        livemode=False,
        amount=amount,
        currency=Currency("eur"),
        status=Status.CREATED,
        capture_method=CaptureMethod.AUTOMATIC,
        payment_method_types=(PaymentMethodType.CARD,),
        provider="stripe",
        created_at=START,
        updated_at=START,
    )


def make_attempt(intent: PaymentIntent, number: int = 1, token: str = "pm_card_visa") -> Attempt:
    """A confirm that has just started."""
    return Attempt(
        id=new_id("attempt"),
        merchant=intent.merchant,
        intent=intent.id,
        number=number,
        operation=Operation.CONFIRM,
        state=AttemptState.STARTED,
        instrument=CardToken(token),
        first_sent_at=START,
        created_at=START,
        updated_at=START,
    )


def make_confirmed(intent: PaymentIntent) -> Change:
    """The change that confirms an intent: an attempt begins, and the intent goes one version on."""
    after = advance(intent, Trigger.CONFIRM, START)
    return Change(make_audit(intent.merchant), creates=(make_attempt(intent),), advances=(after,))


def make_provider_event(reference: str, merchant: str = "default") -> ProviderEvent:
    """A provider event as it is received."""
    return ProviderEvent(
        id=new_id("provider_event"),
        merchant=merchant,
        provider_reference=reference,
        type="payment_intent.succeeded",
        status=EventStatus.RECEIVED,
        provider_created_at=START - timedelta(seconds=1),
        received_at=START,
        updated_at=START,
        body=b"{}",
    )

"""What a payer pays with, as the provider knows it: a token, or nothing but a promise to transfer.

No number of a card or a bank account has a place here.
"""

from datetime import datetime

from paygate.domain.record import Recorded


class CardToken(Recorded, frozen=True, tag="card"):
    """A card behind the provider's token."""

    token: str


class PushTransfer(Recorded, frozen=True, tag="push"):
    """The payer will send money to an account that the provider opens for them.

    The rail follows from the currency; `country` says where the account shall be, for eur alone.
    """

    country: str | None = None


class Mandate(Recorded, frozen=True):
    """How the payer agreed to be debited: when, from where, with what."""

    accepted_at: datetime
    ip_address: str
    user_agent: str


class DirectDebit(Recorded, frozen=True, tag="debit"):
    """A bank account behind the provider's token, which the payer lets us debit."""

    token: str
    mandate: Mandate


Instrument = CardToken | PushTransfer | DirectDebit
"""Handled with `match` and `assert_never`."""

Tokened = CardToken | DirectDebit
"""What the provider can be asked about before it is paid with."""

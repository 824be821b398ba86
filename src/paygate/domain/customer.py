"""A customer: the one record that holds facts about a person. Others hold its id."""

from datetime import datetime
from typing import Any

import msgspec

from paygate.domain.record import Recorded


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays, as the merchant says: a customer known by `id`, or a new one."""

    id: str | None = None
    email: str | None = None
    name: str | None = None


class Customer(Recorded, frozen=True, kw_only=True):
    """What the merchant told us of a payer."""

    id: str
    merchant: str
    livemode: bool
    created_at: datetime
    updated_at: datetime
    version: int = 1
    email: str | None = None
    name: str | None = None
    details_version: int = 1
    """Grows whenever the email or the name changes."""
    provider_reference: str | None = None
    """The provider's customer for this one, as long as the provider takes it."""
    introduced_version: int | None = None
    """The details that the provider was last told. None: nobody wrote that down."""
    erasure_began_at: datetime | None = None
    """From then on nothing new is kept of the person, and what there was goes."""
    erased_at: datetime | None = None
    """When all of it was gone."""

    @property
    def provider_is_behind(self) -> bool:
        """Whether the provider knows the customer by other details, or may."""
        known = self.provider_reference is not None
        return known and self.introduced_version != self.details_version


def with_details(
    customer: Customer, at: datetime, *, email: str | None, name: str | None
) -> Customer:
    """The customer, one version on, with what is given; what is left out stays."""
    return _next(
        customer,
        at,
        email=email or customer.email,
        name=name or customer.name,
        details_version=customer.details_version + 1,
    )


def introduced(customer: Customer, provider_reference: str, at: datetime) -> Customer:
    """The customer once the provider was told these details."""
    return _next(
        customer,
        at,
        provider_reference=provider_reference,
        introduced_version=customer.details_version,
    )


def forgotten(customer: Customer, at: datetime) -> Customer:
    """The customer whom the provider does not know any more."""
    return _next(customer, at, provider_reference=None, introduced_version=None)


def erasing(customer: Customer, at: datetime) -> Customer:
    """The customer whose erasure begins: the details are gone with this version."""
    return _next(
        customer,
        at,
        email=None,
        name=None,
        provider_reference=None,
        introduced_version=None,
        details_version=customer.details_version + 1,
        erasure_began_at=at,
    )


def erased(customer: Customer, at: datetime) -> Customer:
    """The customer of whom nothing is left but the id."""
    assert customer.erasure_began_at is not None, "what has not begun does not end"
    return _next(customer, at, erased_at=max(at, customer.updated_at))


def _next(customer: Customer, at: datetime, **changes: Any) -> Customer:
    return msgspec.structs.replace(
        customer,
        updated_at=max(at, customer.updated_at),
        version=customer.version + 1,
        **changes,
    )

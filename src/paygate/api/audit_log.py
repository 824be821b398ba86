"""`/audit-log`: who did what to which object, when, from where, and what became of it."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, Moment, PageQuery, cut_of, in_reach
from paygate.domain.access.roles import Action, Role
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES
from paygate.flows.audit_log.list import list_audit_entries
from paygate.storage.audit_log import AuditFilters, Sealed

PATH = "/audit-log"


class ActorObject(msgspec.Struct, frozen=True):
    """Who acted. `name` is the person or system that the merchant named, or a job's name."""

    type: Literal["api_key", "client", "provider", "job", "command"]
    id: str | None
    role: Role | None
    name: str | None


class AuditEntryObject(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. `sequence` and `hash` are null until the entry is sealed into the
    chain.
    """

    object: Literal["audit_entry"] = "audit_entry"
    id: str
    livemode: bool
    sequence: int | None = None
    at: str
    actor: ActorObject
    action: Action
    result: Result
    subject: Subject | None
    merchant: str
    request_id: str | None
    address: str | None
    details: Mapping[str, str]
    hash: str | None = None
    created_at: str


class AuditEntryList(ListObject[AuditEntryObject], frozen=True, kw_only=True):
    """A page of audit entries."""


class AuditLogQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /audit-log`. Times are ISO 8601 with an offset, and exclusive."""

    subject: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255)] | None,
        about("The id of the object that was touched.", "pi_01j8zq3v5kf7m2n4p6r8s0t1v3"),
    ] = None
    subject_type: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        about("The type of the objects that were touched.", "refund"),
    ] = None
    actor: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255)] | None,
        about(
            "The id of an API key, a job's name, or the provider's name.",
            "key_01j8zq3v5kf7m2n4p6r8s0t1v3",
        ),
    ] = None
    action: Annotated[Action | None, about("What was done.", "refund.create")] = None
    created_after: Moment | None = None
    created_before: Moment | None = None

    def filters(self) -> AuditFilters:
        """What the list shows.

        Raises:
            Refusal: `subject_type` is no type of objects with ids.
        """
        if self.subject_type is not None and self.subject_type not in PREFIXES:
            raise Refusal(
                ErrorCode.PARAMETER_INVALID,
                "subject_type must be a type of objects, such as payment_intent or refund",
                param="subject_type",
            )
        return AuditFilters(
            subject=self.subject,
            subject_prefix=None if self.subject_type is None else PREFIXES[self.subject_type],
            action=self.action,
            actor=self.actor,
            created_after=in_reach(self.created_after),
            created_before=in_reach(self.created_before),
        )


def audit_entry_object(
    entry: AuditEntry, *, livemode: bool, sealed: Sealed | None = None
) -> AuditEntryObject:
    """The entry as clients see it."""
    actor = entry.actor
    return AuditEntryObject(
        id=entry.id,
        livemode=livemode,
        sequence=None if sealed is None else sealed.number,
        hash=None if sealed is None else sealed.hash.hex(),
        at=time_text(entry.at),
        actor=ActorObject(actor.type, actor.id, actor.role, actor.name),
        action=entry.action,
        result=entry.result,
        subject=entry.subject,
        merchant=entry.merchant,
        request_id=entry.request_id,
        address=entry.address,
        details=entry.details,
        created_at=time_text(entry.at),
    )


async def _list(api: ApiContext, exchange: Exchange, query: AuditLogQuery) -> AuditEntryList:
    cut, caller = cut_of(query, "audit_entry"), exchange.known_caller
    page, seals = await list_audit_entries(api.ctx, caller, cut, query.filters(), exchange.query)
    livemode = api.ctx.provider.livemode
    data = tuple(
        audit_entry_object(entry, livemode=livemode, sealed=seals.get(entry.id))
        for entry in page.items
    )
    return AuditEntryList(data=data, has_more=page.has_more, url=PATH)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List audit entries, newest first. Reading them is an entry, too.",
        action=Action.AUDIT_LIST,
        query=AuditLogQuery,
        response=AuditEntryList,
        handle=_list,
    ),
)

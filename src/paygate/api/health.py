"""`/healthz` says that the process lives, `/readyz` that it can do its work."""

import asyncio
from typing import Any, Final

import msgspec

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.warning import WarningCode
from paygate.flows.alerts.send import channels_failing
from paygate.flows.audit_log.readiness import look_at_audit_log
from paygate.flows.housekeeping.months import months_warning

READY_WITHIN_SECONDS: Final = 2.0
"""A load balancer's probe gives up soon after."""


class Health(msgspec.Struct, frozen=True):
    """The one word that probes look for."""

    status: str = "ok"


class ReadinessWarning(msgspec.Struct, frozen=True):
    """What does not keep the process from its work, and what somebody should look at."""

    code: WarningCode
    message: str


class Readiness(msgspec.Struct, frozen=True):
    """`warnings` is empty when all is well; none of them makes a process unready."""

    warnings: tuple[ReadinessWarning, ...]
    audit_verified_at: str | None
    """When the audit log was last verified and found good; null: not yet."""
    status: str = "ok"


async def _healthz(_: ApiContext, __: Exchange, ___: Any) -> Health:
    return Health()


async def _readyz(api: ApiContext, _: Exchange, __: Any) -> Readiness:
    try:
        async with asyncio.timeout(READY_WITHIN_SECONDS):
            provider, failing, months, audit, _answered = await asyncio.gather(
                api.provider_look.warnings(),
                channels_failing(api.ctx),
                months_warning(api.ctx),
                look_at_audit_log(api.ctx),
                api.ctx.read.ready(),
            )
    except Exception:  # noqa: BLE001 -- whatever keeps the database from answering
        raise Refusal(ErrorCode.OVERLOADED, "the database does not answer") from None
    channels = (
        ReadinessWarning(WarningCode.ALERT_CHANNEL_FAILING, f"alerts do not leave by {name}")
        for name in failing
    )
    found = (*provider, *audit.warnings, *(() if months is None else (months,)))
    return Readiness(
        (*(ReadinessWarning(each.code, each.message) for each in found), *channels),
        None if audit.verified_at is None else time_text(audit.verified_at),
    )


ENDPOINTS = (
    Endpoint(method="GET", path="/healthz", summary="Liveness.", response=Health, handle=_healthz),
    Endpoint(
        method="GET", path="/readyz", summary="Readiness.", response=Readiness, handle=_readyz
    ),
)

"""Report a record that cannot be read: one alert for each, and nobody is stopped by it."""

from paygate.domain.access.roles import Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.storage.change import Outdated, StorageError
from paygate.storage.unreadable import Unread, Unreadable
from paygate.telemetry import log


async def report_unreadable(ctx: Context, caller: Caller, fault: Unread) -> None:
    """Alert the merchant of the row, whoever met it. A record that a later version wrote is in
    order: a node of that version reads it, and this one only logs that it could not.

    An alert that cannot be written now is logged: what met the record meets it again.
    """
    if isinstance(fault, Outdated):
        log.logger().warning("record_outdated", request_id=caller.request_id, error=fault)
        return
    whose = Caller(caller.actor, fault.merchant, caller.request_id, caller.address)
    try:
        await raise_alert(ctx, whose, _problem(fault))
    except StorageError as error:
        log.logger().error("alert_not_raised", request_id=caller.request_id, error=error)


def _problem(fault: Unreadable) -> Problem:
    return Problem(
        type=AlertType.RECORD_UNREADABLE,
        subject=Subject(fault.table, fault.id),
        severity="critical",
        message=f"a record cannot be read, and all that needs it waits: {fault}",
        what_to_do="A hand in the database, a row put back from a backup, or a missing key of the"
        " keyring: find out which, and put the row or the key back as it was. What became of the"
        " payment meanwhile, the provider's dashboard says.",
    )

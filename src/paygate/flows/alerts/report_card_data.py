"""Report card data at the door: its sender's key is alerted. The data itself is not known here."""

from paygate.domain.access.roles import Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.card_data.search import CardData
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.storage.change import StorageError
from paygate.telemetry import log


def card_data_refusal(kind: CardData, param: str | None) -> Refusal:
    """The refusal of a request; whoever answers it reports it too (`report_card_data`)."""
    return Refusal(
        ErrorCode.CARD_DATA_REFUSED,
        f"{param or 'the request'} holds what looks like a {kind}, which must go to the provider's"
        " own fields and never here; nothing was stored",
        param=param,
    )


async def report_card_data(ctx: Context, caller: Caller, where: str) -> None:
    """Alert the merchant that its key sent card data to `where`, a method and a route.

    An alert that cannot be written now is logged: the request is refused all the same.
    """
    assert caller.actor.id is not None, "only an API key sends a request that is looked into"
    problem = Problem(
        type=AlertType.CARD_DATA_REFUSED,
        subject=Subject("api_key", caller.actor.id),
        severity="critical",
        message=(
            f"A request with this key had a card number or an IBAN in it ({where}, last"
            f" {caller.request_id}). It was refused, and nothing of it was stored."
        ),
        what_to_do=(
            "Find what sends it: account numbers go from the payer's browser to the provider's own"
            " fields, and only their token comes here. Whatever handled the request before us - "
            "your server, its logs, a proxy - has had the number: clear it there."
        ),
    )
    try:
        await raise_alert(ctx, caller, problem)
    except StorageError as error:
        log.logger().error("alert_not_raised", request_id=caller.request_id, error=error)

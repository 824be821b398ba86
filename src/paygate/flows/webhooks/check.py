"""What an endpoint may be: where it is, and what it asks for."""

from collections.abc import Sequence

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.webhooks.event_types import ALL, EVENT_TYPES
from paygate.domain.webhooks.url import check_webhook_url
from paygate.egress.client import Forbidden, Unresolved
from paygate.flows.context import Context


async def check_url(ctx: Context, url: str) -> str:
    """A URL that events may be sent to, as its name resolves now; each request looks again.

    Raises:
        Refusal: `parameter_invalid` for what is no such URL, `webhook_url_not_allowed` in the same
            words for every host that leads nowhere or where nothing is sent to.
    """
    check_webhook_url(url, production=ctx.policy.production)
    try:
        await ctx.egress.check(url)
    except (Forbidden, Unresolved):
        raise Refusal(
            ErrorCode.WEBHOOK_URL_NOT_ALLOWED,
            "url's host has no address, or one that webhooks are not sent to",
            param="url",
        ) from None
    return url


def check_events(events: Sequence[str]) -> tuple[str, ...]:
    """The types that an endpoint asks for, each once.

    Raises:
        Refusal: none, or one that there is not.
    """
    unknown = [kind for kind in events if kind not in EVENT_TYPES and kind != ALL]
    if unknown or not events:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            'events must be types of events, or "*" for all of them',
            param="events",
        )
    return tuple(dict.fromkeys(events))


def check_description(description: str | None) -> str | None:
    """Raises `parameter_invalid` for what is not printable."""
    if description is not None and not description.isprintable():
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "description must be one line of printable text, without control characters",
            param="description",
        )
    return description

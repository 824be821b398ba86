"""Refusals in Stripe's words and shape.

They must never carry anything but what Stripe would tell the caller.
"""

from typing import Any

INVALID_REQUEST = "invalid_request_error"
CARD_ERROR = "card_error"
IDEMPOTENCY_ERROR = "idempotency_error"
API_ERROR = "api_error"

_DOC_URL = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """A refusal that changes nothing: whatever its request had begun is rolled back."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID_REQUEST,
        code: str | None = None,
        param: str | None = None,
        **members: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error_object(message, kind=kind, code=code, param=param, **members)


def error_object(
    message: str,
    *,
    kind: str = INVALID_REQUEST,
    code: str | None = None,
    param: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    """The members Stripe sends, in its alphabetical order; absent ones are left out, not null."""
    given = {
        **members,
        "code": code,
        "doc_url": _DOC_URL + code.replace("_", "-") if code else None,
        "message": message,
        "param": param,
        "type": kind,
    }
    return {name: given[name] for name in sorted(given) if given[name] is not None}


# Each noun is Stripe's own; the parameter that names the object in the path differs by resource.
_NOUNS = {
    "payment_intent": ("payment_intent", "intent"),
    "charge": ("charge", "id"),
    "refund": ("refund", "id"),
    "balance_transaction": ("balance transaction", "id"),
    "event": ("event", "id"),
    "payment_method": ("PaymentMethod", "payment_method"),
    "webhook_endpoint": ("webhook endpoint", "webhook_endpoint"),
    "customer": ("customer", "id"),
    "mandate": ("mandate", "mandate"),
    "payout": ("payout", "payout"),
    "dispute": ("dispute", "dispute"),
    "reporting.report_run": ("report run", "report_run"),
    "reporting.report_type": ("report type", "report_type"),
    "file": ("file upload", "file"),
    "radar.early_fraud_warning": ("early fraud warning", "early_fraud_warning"),
}


def missing_object(kind: str, object_id: str) -> StripeError:
    """The object named in the path does not exist."""
    noun, param = _NOUNS[kind]
    return StripeError(
        f"No such {noun}: '{object_id}'", status=404, code="resource_missing", param=param
    )


def missing_reference(kind: str, object_id: str, param: str) -> StripeError:
    """The object named in a parameter does not exist: 400, not 404."""
    return StripeError(
        f"No such {_NOUNS[kind][0]}: '{object_id}'", code="resource_missing", param=param
    )


def missing_parameter(param: str) -> StripeError:
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unrecognized_url(method: str, path: str) -> StripeError:
    return StripeError(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we "
        "can help at https://support.stripe.com/.",
        status=404,
    )


def unsupported_parameter(name: str) -> StripeError:
    """Stripe knows it, the sandbox does not act on it: refusing beats a silent difference."""
    return StripeError(f"This sandbox does not implement the parameter: {name}", param=name)


def raw_card_refused() -> StripeError:
    return StripeError(
        "Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest "
        "you use test tokens that map to the test card you are using, see "
        "https://stripe.com/docs/testing. To enable raw card data APIs in test mode, see "
        "https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis.",
        status=402,
    )


def rate_limited() -> StripeError:
    return StripeError(
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        status=429,
        code="rate_limit",
    )


def internal_error() -> StripeError:
    return StripeError(
        "Sorry! There was an error while talking to one of our backends. Support has been "
        "notified.",
        status=500,
        kind=API_ERROR,
    )

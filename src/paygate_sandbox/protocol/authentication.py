"""Who calls: Bearer or Basic with the account's secret key, or a browser with the publishable one.

It must never put a whole key into an answer.
"""

import base64
import binascii
import hmac

from paygate_sandbox.protocol.errors import StripeError

_SHOWN = 4


class Authentication:
    def __init__(self, secret_key: str, publishable_key: str) -> None:
        self._secret_key = secret_key.encode()
        self._publishable_key = publishable_key.encode()
        # The header of the official client, compared before anything is parsed.
        self._usual = f"Bearer {secret_key}"

    def check(self, header: str | None) -> bool:
        """Whether the key is the secret one; False is the publishable one, good for very little."""
        if header == self._usual:
            return True
        key = _presented(header)
        if not key:
            raise StripeError(
                "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, "
                "or we can help at https://support.stripe.com/.",
                status=401,
            )
        if hmac.compare_digest(key.encode(), self._secret_key):
            return True
        if hmac.compare_digest(key.encode(), self._publishable_key):
            return False
        raise StripeError(f"Invalid API Key provided: {_masked(key)}", status=401)


def secret_key_required() -> StripeError:
    return StripeError(
        "This API call cannot be made with a publishable API key. Please use a secret API key. You "
        "can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        status=401,
        code="secret_key_required",
    )


def _presented(header: str | None) -> str:
    scheme, _, credentials = (header or "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return text.partition(":")[0]
    return ""


def _masked(key: str) -> str:
    """The prefix and the last four characters, as Stripe shows a wrong key."""
    head = key[:8] if key.startswith(("sk_", "pk_", "rk_")) else ""
    if len(key) <= len(head) + _SHOWN:
        return "*" * len(key)
    return head + "*" * min(len(key) - len(head) - _SHOWN, 30) + key[-_SHOWN:]

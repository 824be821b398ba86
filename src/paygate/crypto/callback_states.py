"""Signed states of the 3DS callback: whose challenge a browser comes back from.

The callback's address goes to the provider and through the payer's browser, and there is no API
key on it. `<merchant>.<attempt>.<expiry>.<mac>` names the attempt, and the MAC, under the first
index key, binds it to the installation and to the intent in the path. It opens nothing: whoever has
it can make us ask the provider, and be sent to the merchant's page.

It must never know the clock, nor which attempts exist.
"""

import hmac
import re
from typing import Final, NamedTuple

from paygate.crypto.encoding import base62, length_prefixed
from paygate.crypto.keyring import Keyring

MAC_BYTES: Final = 32
_MAC_LENGTH: Final = 43
"""62^43 is just above 2^256."""
MAX_LENGTH: Final = 160
"""A merchant's 40 characters, an attempt's 29, a time's 12, the MAC's 43 and the dots: 127."""

_SHAPE: Final = re.compile(
    rf"([0-9a-z_-]{{1,40}})\.([0-9a-z_]{{1,64}})\.([0-9]{{1,12}})\.([0-9A-Za-z]{{{_MAC_LENGTH}}})"
)


class CallbackState(NamedTuple):
    """What a genuine state says."""

    merchant: str
    attempt: str
    expires_at: int
    """Seconds since 1970; what is older is genuine still, but has no effect any more."""


class CallbackStates:
    """Makes and opens the states of one installation. Safe to share between threads."""

    __slots__ = ("_installation", "_key")

    def __init__(self, keyring: Keyring) -> None:
        self._key = keyring.naming
        self._installation = keyring.installation

    def make(self, intent_id: str, state: CallbackState) -> str:
        """The same text for the same attempt, whatever becomes of the keys: a request that is sent
        again to the provider must be the same request.
        """
        text = f"{state.merchant}.{state.attempt}.{state.expires_at}.{'0' * _MAC_LENGTH}"
        assert _SHAPE.fullmatch(text), "made of our own ids"
        mac = self._key.compute(self._input(intent_id, state), MAC_BYTES)
        return text[:-_MAC_LENGTH] + _encode(mac)

    def open(self, intent_id: str, text: str) -> CallbackState | None:
        """What a state says, if it was made for this intent; None alike for all that was not.

        In constant time; the form has a bound, so hostile input costs no more than a state does.
        """
        match = _SHAPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            return None
        state = CallbackState(match[1], match[2], int(match[3]))
        if str(state.expires_at) != match[3]:
            return None  # one spelling of each state
        mac = _encode(self._key.compute(self._input(intent_id, state), MAC_BYTES))
        return state if hmac.compare_digest(mac, match[4]) else None

    def _input(self, intent_id: str, state: CallbackState) -> bytes:
        fields = (state.merchant, intent_id, state.attempt, str(state.expires_at))
        return length_prefixed("paygate.callback_state.1", self._installation, *fields)


def _encode(mac: bytes) -> str:
    return base62(int.from_bytes(mac), _MAC_LENGTH)

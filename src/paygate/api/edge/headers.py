"""Headers of every response, the application's and the server's own refusals alike."""

from typing import Final

ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # An address may carry a secret of the provider's, or a state of ours.
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000"),
)

"""A file in a form, as `multipart/form-data` has it (RFC 7578); pure.

The same order must stay the same bytes, since Stripe knows an idempotency key by what came with
it: the boundary is made of what it bounds.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple

_BOUNDARY_CHARACTERS: Final = 48
_NAME: Final = re.compile(r"[A-Za-z0-9._ -]+")


class Multipart(NamedTuple):
    """A body, and what its `Content-Type` says."""

    content_type: str
    body: bytes


def encode(texts: Mapping[str, str], field: str, name: str, kind: str, content: bytes) -> Multipart:
    """The texts, and one file by `field`, with a plain name and a content type."""
    assert _NAME.fullmatch(name), "a name that is fit to be sent"
    boundary = f"paygate-{sha256(content).hexdigest()[:_BOUNDARY_CHARACTERS]}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in texts.items()
    ]
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = b"".join(
        (
            *(part.encode() for part in parts),
            head.encode(),
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    return Multipart(f"multipart/form-data; boundary={boundary}", body)

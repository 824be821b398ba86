"""Secret text that does not show itself: in a repr, a log line, a pickle or an encoded object.

It must never know what the secret opens. `reveal` is the one way out, and easy to search for.
"""

from typing import NoReturn, final


@final
class Secret:
    """Text to be shown once, on purpose.

    Two secrets are never equal by `==`: comparing them is `hmac.compare_digest`'s work.
    No serialiser knows this type, so an object that holds one fails to encode, loudly.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; whoever calls this is about to show or hash it."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")

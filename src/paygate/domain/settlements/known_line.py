"""Whether a line that is known comes again as it is known. Pure."""

from typing import Final

from paygate.domain.settlements.outcome import Line, LineCategory

_SAID_BY_ALL: Final = ("gross", "fee", "currency")
_SAID_BY_SOME: Final = ("source_reference", "payment_reference")
_SHOWN: Final = {"source_reference": "source", "payment_reference": "payment"}


def differences(known: Line, told: Line) -> tuple[str, ...]:
    """In what a line differs that is told once more; nothing where it is the same. What one of the
    two does not say is no difference.
    """
    found = [name for name in _SAID_BY_ALL if getattr(known, name) != getattr(told, name)]
    if _is_of_another_category(known, told):
        found.append("category")
    for name in _SAID_BY_SOME:
        both = {getattr(known, name), getattr(told, name)}
        if len(both) > 1 and None not in both:
            found.append(_SHOWN[name])
    return tuple(found)


def _is_of_another_category(known: Line, told: Line) -> bool:
    """A word that only one of the two readers knows is no difference, unless it is one word: then
    a mapping has changed.
    """
    if known.category is told.category:
        return False
    one_knows = LineCategory.UNKNOWN in (known.category, told.category)
    return not one_knows or known.provider_category == told.provider_category

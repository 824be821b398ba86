"""What a call may be given, as tables of typed parameters, with Stripe's refusals.

A table names every parameter that it takes; anything else is refused. An empty text unsets, and
reads as None, where Stripe allows that. It must never look at stored objects: what is refused
here has not begun to execute, and is not saved under an idempotency key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paygate_sandbox.protocol.errors import (
    StripeError,
    missing_parameter,
    raw_card_refused,
    unsupported_parameter,
)
from paygate_sandbox.protocol.forms import Form


class Parameter(Protocol):
    def read(self, name: str, raw: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Text:
    max_length: int = 5000
    unsettable: bool = False

    def read(self, name: str, raw: Any) -> str | None:
        value = leaf(name, raw, "string")
        if not value:
            if self.unsettable:
                return None
            raise empty(name)
        if len(value) > self.max_length:
            raise StripeError(
                f"Invalid {name}: must be at most {self.max_length} characters", param=name
            )
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int | None = None
    maximum: int | None = None
    clamp: bool = False

    def read(self, name: str, raw: Any) -> int:
        text = leaf(name, raw, "integer")
        # 18 digits fit every integer of the API and of the store.
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise StripeError(
                f"Invalid integer: {text[:50]}", code="parameter_invalid_integer", param=name
            )
        value = int(text)
        low = value if self.minimum is None else max(value, self.minimum)
        bounded = low if self.maximum is None else min(low, self.maximum)
        if bounded != value and not self.clamp:
            side = "greater" if value < bounded else "less"
            raise StripeError(
                f"This value must be {side} than or equal to {bounded}.",
                code="parameter_invalid_integer",
                param=name,
            )
        return bounded


@dataclass(frozen=True, slots=True)
class Boolean:
    def read(self, name: str, raw: Any) -> bool:
        text = leaf(name, raw, "boolean")
        if text not in {"true", "false"}:
            raise StripeError(f"Invalid boolean: {text[:50]}", param=name)
        return text == "true"


@dataclass(frozen=True, slots=True)
class OneOf:
    values: tuple[str, ...]
    unsettable: bool = False

    def read(self, name: str, raw: Any) -> str | None:
        text = leaf(name, raw, "string")
        if not text and self.unsettable:
            return None
        if text not in self.values:
            *most, last = self.values
            choice = f"one of {', '.join(most)}, or {last}" if most else last
            raise StripeError(f"Invalid {name}: must be {choice}", param=name)
        return text


@dataclass(frozen=True, slots=True)
class Url:
    """Absolute; of the web, unless an app's own scheme may take the customer back."""

    app_schemes: bool = False
    max_length: int = 5000

    def read(self, name: str, raw: Any) -> str:
        text = leaf(name, raw, "string")
        scheme = r"[a-zA-Z][a-zA-Z0-9+.-]*" if self.app_schemes else "https?"
        well_formed = re.fullmatch(scheme + r"://[^/\s?#]\S*", text)
        if len(text) > self.max_length or not well_formed:
            raise StripeError(
                "Invalid URL: An explicit scheme (such as https) must be provided.",
                code="url_invalid",
                param=name,
            )
        return text


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Parameter
    max_items: int = 100

    def read(self, name: str, raw: Any) -> list[Any]:
        if not isinstance(raw, list):
            raise StripeError("Invalid array", param=name)
        if len(raw) > self.max_items:
            raise StripeError(f"Invalid array: at most {self.max_items} items", param=name)
        return [self.item.read(f"{name}[{index}]", value) for index, value in enumerate(raw)]


@dataclass(frozen=True, slots=True)
class Hash:
    fields: Mapping[str, Parameter]
    required: tuple[str, ...] = ()

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise StripeError("Invalid object", param=name)
        return read_fields(self.fields, self.required, raw, prefix=name)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Up to 50 pairs, keys to 40 and values to 500 characters; an empty value drops its key."""

    unsettable: bool = False

    def read(self, name: str, raw: Any) -> dict[str, str] | None:
        if raw == "" and self.unsettable:
            return None
        if isinstance(raw, list):  # numbers are fine as metadata keys
            raw = {str(index): value for index, value in enumerate(raw)}
        if not isinstance(raw, dict):
            raise StripeError("Invalid object", param=name)
        if len(raw) > 50:  # noqa: PLR2004 - Stripe's documented bound, named in the message
            raise StripeError("Metadata can have at most 50 keys.", param=name)
        return {key: self._value(f"{name}[{key}]", key, value) for key, value in raw.items()}

    @staticmethod
    def _value(name: str, key: str, raw: Any) -> str:
        value = leaf(name, raw, "string")
        if len(key) > 40:  # noqa: PLR2004 - as above
            raise StripeError(
                f"Metadata keys can have up to 40 characters, but you passed in a key that is "
                f"{len(key)} characters.",
                param="metadata",
            )
        if len(value) > 500:  # noqa: PLR2004 - as above
            raise StripeError(
                f"Metadata values can have up to 500 characters, but you passed in a value that "
                f"is {len(value)} characters. Invalid value: {value[:24]}...",
                param=name,
            )
        return value


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Stripe has it, the sandbox does not: said aloud."""

    def read(self, name: str, raw: Any) -> Any:
        del raw
        raise unsupported_parameter(name)


@dataclass(frozen=True, slots=True)
class CardData:
    """Where a raw card number could be sent. The number is refused, and never kept or echoed."""

    def read(self, name: str, raw: Any) -> Any:
        card = raw.get("card") if isinstance(raw, dict) and "card" in raw else raw
        if isinstance(card, dict) and "number" in card:
            raise raw_card_refused()
        raise unsupported_parameter(name)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The table of one call."""

    fields: Mapping[str, Parameter] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def read(self, form: Form) -> dict[str, Any]:
        return read_fields(self.fields, self.required, form, prefix="")


def read_fields(
    fields: Mapping[str, Parameter], required: tuple[str, ...], raw: Form, *, prefix: str
) -> dict[str, Any]:
    unknown = [_nested(prefix, name) for name in raw if name not in fields]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise StripeError(
            f"Received unknown parameter{plural}: {', '.join(unknown)[:500]}",
            code="parameter_unknown",
            param=unknown[0][:200],
        )
    for name in required:
        if name not in raw:
            raise missing_parameter(_nested(prefix, name))
    return {name: fields[name].read(_nested(prefix, name), value) for name, value in raw.items()}


def leaf(name: str, raw: Any, noun: str) -> str:
    if not isinstance(raw, str):
        raise StripeError(f"Invalid {noun}: {name} was given as a structure", param=name)
    return raw


def empty(name: str) -> StripeError:
    return StripeError(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )


def _nested(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Stripe's update: new keys join, empty values leave, unsetting the whole clears it."""
    if given is None:
        return {}
    return {key: value for key, value in {**old, **given}.items() if value}

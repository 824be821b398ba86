"""What one version of paygate writes and takes, printed as JSON.

A program: each side runs it on its own code, so it knows of the code only what both sides have.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from paygate.api.routes import ENDPOINTS
from paygate.jobs.messages import MESSAGES
from paygate.storage.records import _KINDS


def within(info: inspect.Type) -> Iterator[inspect.Type]:
    """A type and every type in it."""
    yield info
    inner = [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    inner += [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    if isinstance(info, inspect.StructType):
        inner += [field.type for field in info.fields]
    for each in inner:
        if each is not None:
            yield from within(each)


def field_of(field: msgspec.structs.FieldInfo) -> str | None:
    """A field's default; None where the field must be there."""
    if field.required:
        return None
    given = field.default
    return repr(field.default_factory()) if given is msgspec.NODEFAULT else repr(given)


def shapes() -> dict[str, dict[str, Any]]:
    """By name: a struct's tag and fields, and if it is stored; the values of an enumeration."""
    stored = [*_KINDS, *MESSAGES]
    sent = [e.body for e in ENDPOINTS if e.body is not None]
    found: dict[str, dict[str, Any]] = {}
    for root in (*stored, *sent):
        for info in within(inspect.type_info(root)):
            if isinstance(info, inspect.StructType):
                fields = {f.encode_name: field_of(f) for f in msgspec.structs.fields(info.cls)}
                tag = info.cls.__struct_config__.tag
                shape = {"tag": tag, "fields": fields, "stored": root in stored}
                found.setdefault(info.cls.__name__, shape)
            elif isinstance(info, inspect.EnumType):
                found[info.cls.__name__] = {"values": [member.value for member in info.cls]}
    return found


if __name__ == "__main__":
    print(json.dumps(shapes()))  # noqa: T201 -- read by the test

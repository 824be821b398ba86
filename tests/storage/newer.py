"""Records as a newer version of paygate leaves them: with something in them that ours never had."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from paygate.crypto.seal import SealedPlace
from paygate.storage.change import Record
from paygate.storage.commit.committer import Connection
from paygate.storage.records import Records
from tests.storage.stored import TABLE_OF

NEWS: Final = {"of_a_newer_version": 500}


def plain(record: msgspec.Struct) -> dict[str, Any]:
    """What is sealed of a record, as plain values."""
    content: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    return content


def sealed(records: Records, record: Record, content: Mapping[str, Any]) -> bytes:
    """Content that was sealed for a record's place by a node of this installation."""
    version = getattr(record, "version", 1) if "version" in record.__struct_fields__ else 1
    place = SealedPlace(record.merchant, TABLE_OF[type(record)].name, record.id, version)
    return records._sealer.seal(place, msgspec.msgpack.encode(content))


async def made_newer(
    connection: Connection, records: Records, record: Record, **content: Any
) -> None:
    """Let a record in the database be of a newer version: with more content than we know."""
    table = TABLE_OF[type(record)].name
    newer = sealed(records, record, {**plain(record), **(content or NEWS)})
    await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await connection.execute(f"UPDATE {table} SET sealed = $1 WHERE id = $2", newer, record.id)
    for trigger in await connection.fetch(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal", table
    ):
        await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger['tgname']}")


def structs_within(info: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    """Every struct that a value of a type can hold, the type itself first."""
    if isinstance(info, inspect.StructType):
        yield info.cls
        for field in info.fields:
            yield from structs_within(field.type)
    for name in ("item_type", "key_type", "value_type"):
        if (inner := getattr(info, name, None)) is not None:
            yield from structs_within(inner)
    for name in ("types", "item_types"):
        for inner in getattr(info, name, ()):
            yield from structs_within(inner)

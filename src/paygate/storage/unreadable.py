"""What a row is that does not open. Its name stands in clear; what was in it, nobody knows."""

from typing import Final

from paygate.crypto.seal import SealError
from paygate.storage.change import Outdated


class Unreadable(Exception):
    """A row is not as we left it. The words name table and id, and no value."""

    def __init__(self, table: str, merchant: str, record_id: str, why: str) -> None:
        super().__init__(f"{table} {record_id}: {why}")
        self.table = table
        self.merchant = merchant
        self.id = record_id


class SealBroken(Unreadable, SealError):
    """The bytes were not sealed for this place, or not under a key that we have."""


class Tampered(Unreadable):
    """The clear columns are not the record's own."""


Unread = Unreadable | Outdated
"""Why a row was not read: it is broken, or for a later version of us than this one."""
UNREAD: Final = (Unreadable, Outdated)

"""What a call is: a method and a path, the table of its parameters, and a function.

It must never know HTTP beyond the method's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import missing_object, missing_reference
from paygate_sandbox.protocol.parameters import Parameters
from paygate_sandbox.store.objects import JsonObject, Record


@dataclass(frozen=True, slots=True)
class Call:
    """One execution: the checked parameters, the id in the path, the open books."""

    params: dict[str, Any]
    target: str
    books: Books

    def load(self, kind: str) -> Record:
        """The object that the path names."""
        record = self.books.find(kind, self.target)
        if record is None or "deleted" in record.body:
            raise missing_object(kind, self.target)
        return record

    def refer(self, kind: str, param: str) -> str:
        """The id that a parameter gives, of an object that exists."""
        return refer(self.books, kind, self.params[param], param).id


def refer(books: Books, kind: str, object_id: str, param: str) -> Record:
    """The object that a parameter names."""
    record = books.find(kind, object_id)
    if record is None or "deleted" in record.body:
        raise missing_reference(kind, object_id, param)
    return record


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Record]
    has_more: bool


@dataclass(frozen=True, slots=True)
class PaymentFailure:
    """An answer that is an error and yet has an effect: a declined payment."""

    status: int
    error: JsonObject


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that is a file of the sandbox's own."""

    path: Path
    content_type: str


Result = Record | Page | PaymentFailure | Download | JsonObject
Execute = Callable[[Call], Result]
NameOperation = Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    kind: str
    operation: str | NameOperation
    parameters: Parameters
    execute: Execute
    is_list: bool = False
    # Whether it is called with a form of parts, one of them a file.
    takes_files: bool = False
    # What parameters say together; refused like each alone, before anything executes.
    check: Callable[[dict[str, Any]], None] = lambda _params: None
    # What a page of the provider's own may call here with the publishable key, if anything.
    in_browser: "Endpoint | None" = None

    def operation_of(self, form: dict[str, Any]) -> str:
        """The name by which faults are ordered."""
        return self.operation if isinstance(self.operation, str) else self.operation(form)

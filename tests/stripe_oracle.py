"""Stripe's published description as a judge of requests and responses.

The description lies beside the repository, not in it; where it is absent `oracle()` answers None
and whoever asks checks everything else. It must never be needed by the product itself.
"""

import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

DESCRIPTION = Path(__file__).resolve().parents[2] / "shared" / "stripe"
ABSENT = f"Stripe's description is not at {DESCRIPTION}: the contract checks are left out"


class Oracle(Protocol):
    """Each answers a list of what is wrong, empty when nothing is."""

    def response(self, method: str, path: str, status: int, obj: Any) -> list[str]: ...

    def request(self, method: str, path: str, body: str = "", query: str = "") -> list[str]: ...

    def schema(self, name: str, obj: Any) -> list[str]: ...

    def op(self, method: str, path: str) -> tuple[str | None, Any]: ...


@cache
def oracle() -> Oracle | None:
    """The strict judge: a key that the description lacks is an error too."""
    checker = DESCRIPTION / "contract.py"
    documents = sorted(DESCRIPTION.glob("openapi-*.json"))
    if not checker.exists() or not documents:
        return None
    spec = importlib.util.spec_from_file_location("stripe_contract", checker)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        # The checker leaves closing its document to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        return cast("Oracle", module.Oracle(str(documents[-1]), strict=True))

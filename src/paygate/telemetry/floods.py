"""What may happen any number of times a second, and is a line of the log once a minute."""

import time
from collections.abc import Callable
from typing import Any, Final

LOG_SECONDS: Final = 60.0


class Floods:
    """What has been told, by its kind. Kinds are few and ours: nothing that a stranger wrote."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Flood] = {}

    def tell(self, kind: str, write: Callable[..., None], event: str, **keys: Any) -> None:
        """Have `write` make a line of this time, if the last of the kind is a minute old; it says
        how many times it stands for.
        """
        flood = self._kinds.setdefault(kind, _Flood())
        flood.counted += 1
        now = time.monotonic()
        if now - flood.told >= LOG_SECONDS:
            write(event, counted=flood.counted, **keys)
            flood.counted, flood.told = 0, now


class _Flood:
    def __init__(self) -> None:
        self.counted = 0
        self.told = -LOG_SECONDS

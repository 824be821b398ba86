"""Where alerts leave to: chats, mail, pagers. apprise speaks to each, by its URL (0044)."""

import asyncio
import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Final

from paygate.crypto.secret import Secret
from paygate.domain.alert import Severity
from paygate.telemetry import log

SEND_SECONDS: Final = 30.0
"""A mail server may take its time; a channel that is silent for so long has not taken the alert."""
_NOTIFY_TYPES: Final[dict[Severity, str]] = {
    "info": "info",
    "warning": "warning",
    "critical": "failure",
}


class AppriseChannel:
    """One URL of `PAYGATE_ALERT_URLS`, in which secrets may be: what names it is its place in the
    setting and its kind.
    """

    def __init__(self, number: int, url: Secret, *, send_seconds: float = SEND_SECONDS) -> None:
        """`number` counts the setting's URLs from 1."""
        self.name: Final = f"{number}-{url.reveal().partition(':')[0]}"
        self._url = url
        self._send_seconds = send_seconds
        self._over = Event()
        """Whether what was sent last has come to its end: its thread may live a moment longer."""
        self._over.set()

    def check(self) -> None:
        """Raises ValueError, which names the channel, when apprise cannot make anything of it."""
        self._service()

    async def send(self, severity: Severity, title: str, text: str) -> bool:
        """Whether the channel took the message; one that hangs is not sent a second beside it."""
        if not self._over.is_set():
            return False
        over = Event()
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # apprise blocks. A thread that hangs must hold up neither others nor the process's end.
        Thread(
            target=_notify,
            args=(self.name, self._service, severity, title, text, taken, over),
            name=f"alert channel {self.name}",
            daemon=True,
        ).start()
        self._over = over
        try:
            async with asyncio.timeout(self._send_seconds):
                return await taken
        except TimeoutError:
            return False

    def _service(self) -> Any:
        import apprise  # noqa: PLC0415 -- 0.3 s, for processes alone that send

        # Its log would quote the receivers' answers.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service: Any = apprise.Apprise.instantiate(self._url.reveal())
        if service is None:
            raise ValueError(f"apprise does not know what channel {self.name} is")
        return service


def _notify(
    channel: str,
    service: Callable[[], Any],
    severity: Severity,
    title: str,
    text: str,
    taken: "asyncio.Future[bool]",
    over: Event,
) -> None:
    try:
        kind = _NOTIFY_TYPES[severity]
        done = service().notify(body=text, title=title, notify_type=kind, body_format="text")
    except Exception as error:  # noqa: BLE001 -- whatever a plugin stumbles over
        log.logger().error("alert_not_sent", channel=channel, error=error)
        done = False
    finally:
        over.set()

    def tell() -> None:
        if not taken.done():
            taken.set_result(done is True)

    loop = taken.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)

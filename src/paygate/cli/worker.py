"""`paygate worker`: the process that runs jobs."""

import asyncio
import signal

from paygate.api.event_object import event_body
from paygate.cli.lifeline import tell_ready
from paygate.settings import Settings
from paygate.telemetry import log
from paygate.wiring.alerts import check_alert_channels
from paygate.wiring.database import connect
from paygate.wiring.service import open_service
from paygate.worker.main import work
from paygate.worker.report_hands import hands_at


async def run_worker(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM; jobs in hand are finished."""
    log.configure()
    check_alert_channels(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings, name="worker") as ctx:
        tell_ready()
        queue = connect(settings, name="worker queue")
        await work(ctx, queue, stop, event_body, hands_at(settings.data))

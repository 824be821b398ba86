"""A process that may be made to stand still: for each line it is sent it commits a payment intent,
and prints the intent's id, or what the door raised.
"""

import asyncio
import sys
from pathlib import Path

from paygate.storage.change import Change, StorageError
from paygate.telemetry import log
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import settings_for
from tests.making import make_audit, make_intent

NAME = "sleeper"


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(database: str, folder: str) -> None:
    log.configure()
    async with open_context(settings_for(database, Path(folder)), name=NAME) as ctx:
        say("ready")
        while await asyncio.to_thread(sys.stdin.readline):
            intent = make_intent()
            try:
                await ctx.door.commit(Change(make_audit(), creates=(intent,)))
                say(intent.id)
            except StorageError as error:
                say(type(error).__name__)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

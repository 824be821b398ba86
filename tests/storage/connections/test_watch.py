"""When a wait for a reply is given up, and when it is not."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from paygate.storage.connections.session import Connection
from paygate.storage.connections.watch import Watch

Connect = Callable[[], Awaitable[Connection]]


class Asked:
    """A server that answers the same questions as told, the last answer for ever."""

    def __init__(self, *answers: bool | OSError) -> None:
        self._answers = list(answers)
        self.times = 0

    async def __call__(self) -> bool:
        self.times += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.mark.parametrize(
    "asked",
    [
        Asked(True),
        Asked(OSError("unreachable")),
        # The first no was given while the reply of a slow statement was on its way.
        Asked(False, True),
        Asked(False, OSError("unreachable"), True),
    ],
    ids=["at work", "nobody answers", "no, then at work", "no, then nobody answers"],
)
async def test_a_wait_goes_on(connect: Connect, asked: Asked) -> None:
    held, connection = await connect(), await connect()
    await held.execute("SELECT pg_advisory_lock(1)")
    with Watch().over(connection, asked):
        waiting = asyncio.create_task(connection.execute("SELECT pg_advisory_lock(1)"))
        while asked.times < 3:
            assert not connection.is_closed()
            await asyncio.sleep(0.01)
        await held.execute("SELECT pg_advisory_unlock(1)")
        await waiting


async def test_a_reply_that_cannot_come_is_not_waited_for(connect: Connect) -> None:
    connection = await connect()
    asked = Asked(False)
    with pytest.raises(asyncpg.PostgresConnectionError), Watch().over(connection, asked):
        await connection.execute("SELECT pg_sleep(60)")
    assert asked.times == 2


async def test_a_wait_with_a_deadline_ends_though_the_server_is_at_work(connect: Connect) -> None:
    connection = await connect()
    with (
        pytest.raises(asyncpg.PostgresConnectionError),
        Watch(at_most=0.1).over(connection, Asked(True)),
    ):
        await connection.execute("SELECT pg_sleep(60)")


async def test_prompt_replies_are_not_asked_about(connect: Connect) -> None:
    connection, asked, watch = await connect(), Asked(False), Watch()
    other = asyncio.create_task((await connect()).execute("SELECT pg_sleep(1.3)"))
    while not other.done():  # for longer than a wait may take, one wait after another
        with watch.over(connection, asked):
            await connection.execute("SELECT")
    await other
    assert asked.times == 0


def timers(watch: Watch) -> list[asyncio.TimerHandle]:
    return [] if watch._timer is None else [watch._timer]


async def test_a_wait_that_comes_alone_leaves_nothing_to_wake_for(connect: Connect) -> None:
    """A timer would wake an idle process a second later; of waits that come one after another, all
    have one.
    """
    connection, watch = await connect(), Watch()
    with watch.over(connection, Asked(True)):
        assert timers(watch)
    assert not timers(watch)
    with watch.over(connection, Asked(True)):
        timer = timers(watch)
    with watch.over(connection, Asked(True)):
        assert timers(watch) == timer
    assert timers(watch) == timer

"""Channels for alerts, with apprise itself, and a receiver on this machine."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest

from paygate.alert_channels import AppriseChannel
from paygate.crypto.secret import Secret
from paygate.settings import SettingsError, load_environment
from paygate.wiring.alerts import check_alert_channels
from tests.cli.processes import is_one_clear_line, run
from tests.gateway import Gateway


class Receiver:
    """Takes apprise's `json://` messages."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = 200
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.url = ""

    async def take(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.taken.append(await request.json())
        await self.hangs.wait()
        return aiohttp.web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = aiohttp.web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"json://{host}:{port}/hook"
    yield receiver
    receiver.hangs.set()
    await runner.cleanup()


async def test_a_message_arrives_as_it_was_written(receiver: Receiver) -> None:
    channel = AppriseChannel(1, Secret(receiver.url))
    text = "one <b>line</b> & *another*\nprice: 5 \u20ac"
    assert await channel.send("critical", "paygate: critical", text)
    (message,) = receiver.taken
    assert (message["title"], message["message"]) == ("paygate: critical", text)
    assert message["type"] == "failure"


async def test_one_that_was_just_taken_holds_up_none_after_it(receiver: Receiver) -> None:
    channel = AppriseChannel(1, Secret(receiver.url))
    assert all([await channel.send("info", "title", f"text {number}") for number in range(50)])


@pytest.mark.parametrize("status", [404, 500, 302])
async def test_what_is_not_taken_is_known(receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert not await AppriseChannel(1, Secret(receiver.url)).send("info", "title", "text")


async def test_nobody_there_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    channel = AppriseChannel(1, Secret(f"json://127.0.0.1:{port}/"))
    assert not await channel.send("info", "title", "text")


async def test_a_channel_that_hangs_has_one_thread_and_is_given_up(receiver: Receiver) -> None:
    receiver.hangs.clear()
    channel = AppriseChannel(1, Secret(f"{receiver.url}?rto=60"), send_seconds=0.2)
    for _ in range(3):
        assert not await channel.send("info", "title", "text")
    threads = [t for t in threading.enumerate() if t.name == f"alert channel {channel.name}"]
    assert len(threads) == 1
    assert threads[0].daemon  # a process that is told to stop does not wait for it


def test_a_channels_name_holds_nothing_of_its_url() -> None:
    assert AppriseChannel(2, Secret("slack://TOKEN/B/C")).name == "2-slack"


async def test_a_url_that_apprise_does_not_know_is_named_by_its_place() -> None:
    settings = load_environment({"PAYGATE_ALERT_URLS": "json://h.example,nosuch://secret/token"})
    with pytest.raises(SettingsError) as refused:
        check_alert_channels(settings)
    assert str(refused.value) == (
        "PAYGATE_ALERT_URLS: apprise does not know what channel 2-nosuch is"
    )


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_such_a_url_stops_the_start(command: str, gateway: Gateway, tmp_path: Path) -> None:
    ran = await asyncio.to_thread(
        run,
        *(command, "--data", gateway.ready["data_dir"]),
        cwd=tmp_path,
        environ={"PAYGATE_ALERT_URLS": "nosuch://secret/token"},
    )
    is_one_clear_line(ran, "PAYGATE_ALERT_URLS", "channel 1-nosuch")
    assert "secret" not in ran.err

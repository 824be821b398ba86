"""Deliveries: what is sent, how often, and what becomes of it. The receivers are real ones."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from paygate.api.event_object import event_body
from paygate.domain.alert import Alert, AlertType
from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import DeliveryStatus, Failure
from paygate.domain.webhooks.endpoint import DisabledBecause, EndpointStatus, WebhookEndpoint
from paygate.flows.webhooks.delete import delete_webhook_endpoint
from paygate.flows.webhooks.resend import resend_delivery, resend_since
from paygate.flows.webhooks.rotate_secret import rotate_webhook_secret
from paygate.flows.webhooks.tell import tell_events
from paygate.flows.webhooks.update import EndpointChanges, update_webhook_endpoint
from paygate.flows.webhooks.watch import watch_webhook_endpoints
from paygate.wiring.machine import now
from tests.flows.test_unreadable import spoil, write
from tests.flows.webhooks.courier import (
    at_work,
    deliveries,
    endpoint_at,
    events,
    forward,
    settled,
    tried,
)
from tests.flows.world import World
from tests.receiver import Receiver, Request, answer

VERIFY = """
import json, sys
from standardwebhooks import Webhook
given = json.loads(sys.stdin.read())
for request in given["requests"]:
    event = Webhook(given["secret"]).verify(request["body"], request["headers"])
    assert event["id"] == request["headers"]["webhook-id"]
"""


def verify_elsewhere(secret: str, requests: list[Request]) -> None:
    """The library, in a process that has nothing of ours, with its own clock and tolerance."""
    given = [{"body": r.body.decode(), "headers": r.headers} for r in requests]
    subprocess.run(
        [sys.executable, "-I", "-c", VERIFY],
        input=json.dumps({"secret": secret, "requests": given}).encode(),
        check=True,
    )


def signed_with(request: Request) -> Iterator[str]:
    yield from request.headers["webhook-signature"].split(" ")


def is_signed_by(request: Request, secret: str) -> bool:
    """Whether one of its signatures is the secret's, at the time that it names."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    wanted = Webhook(secret).sign(request.headers["webhook-id"], at, request.body.decode())
    return wanted in signed_with(request)


async def endpoint_now(world: World, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    found = await world.ctx.webhooks.webhook_endpoint(endpoint.merchant, endpoint.id)
    assert found is not None
    return found


async def test_what_is_sent_verifies_in_another_process(world: World) -> None:
    world.use(now=now)
    async with Receiver() as receiver, at_work(world):
        endpoint = await endpoint_at(world, receiver.url())
        await world.create(description="é \u2028 \N{GRINNING FACE} <&>", metadata={})
        await events(world, 4)
        requests = list(await receiver.wait_for(5))
        done = await settled(world, 5)
    verify_elsewhere(endpoint.secrets[0].text, requests)
    assert {d.status for d in done} == {DeliveryStatus.DELIVERED}
    assert {d.event for d in done} == {r.headers["webhook-id"] for r in requests}
    wild = next(r for r in requests if r.event["data"]["object"]["description"])
    assert wild.event["data"]["object"]["description"] == "é \u2028 \N{GRINNING FACE} <&>"
    assert set(wild.headers) == {
        *("host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    }
    assert wild.headers["accept-encoding"] == "identity"
    (attempt,) = done[0].attempts
    assert (attempt.status_code, attempt.error) == (200, None)


async def test_every_attempt_has_the_same_body_and_id(world: World) -> None:
    """The time and the signature are new, and the ones of a resend three days later too."""
    async with Receiver() as receiver:
        receiver.answers = [answer(500)]
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 1)
        async with at_work(world):
            await tried(world, 1)
        await forward(world, timedelta(hours=1))
        async with at_work(world):
            (delivery,) = await settled(world, 1)
        await forward(world, timedelta(days=3))
        await resend_delivery(world.ctx, world.caller, endpoint.id, delivery.id)
        async with at_work(world):
            first, second, third = await receiver.wait_for(3)
            await tried(world, 3)
    assert first.body == second.body == third.body
    assert len({r.headers["webhook-id"] for r in (first, second, third)}) == 1
    times = [int(r.headers["webhook-timestamp"]) for r in (first, second, third)]
    assert times == [times[0], times[0] + 3600, times[0] + 3600 + 3 * 86400]
    secret = endpoint.secrets[0].text
    assert all(is_signed_by(request, secret) for request in (first, second, third))
    (delivery,) = await deliveries(world)
    assert [a.status_code for a in delivery.attempts] == [500, 200, 200]
    assert delivery.status is DeliveryStatus.DELIVERED


async def test_an_endpoint_gets_what_it_asked_for_from_its_creation_on(world: World) -> None:
    await events(world, 3)
    async with Receiver() as wanted, Receiver() as unwanted, at_work(world):
        await endpoint_at(world, unwanted.url(), events=("payment_intent.succeeded",))
        await endpoint_at(world, wanted.url(), events=("payment_intent.created",))
        intent = await world.create()
        await settled(world, 1)
        (request,) = await wanted.wait_for(1)
        assert request.event["data"]["object"]["id"] == intent.id
        assert request.event["object_version"] == intent.version
    assert unwanted.requests == []


async def test_a_body_is_the_object_at_its_version(world: World) -> None:
    """Whatever became of the object since: the payload is made of the row as it was committed."""
    async with Receiver() as receiver:
        await endpoint_at(world, receiver.url())
        await events(world, 2)
        async with at_work(world):
            await settled(world, 2)
    told = {e.id: e for e in await world.all(Event)}
    for request in receiver.requests:
        event = told[request.headers["webhook-id"]]
        sent = request.event["data"]["object"]
        assert (sent["version"], sent["status"]) == (event.object_version, event.record.status)
        assert request.event["object_version"] == event.object_version


async def test_a_hundred_that_wait_are_signed_by_old_and_new(world: World) -> None:
    """The old secret signs until its end; a second rotation meanwhile keeps both of the old."""
    async with Receiver() as receiver:
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 100)
        one = await rotate_webhook_secret(world.ctx, world.caller, endpoint.id, overlap="2h")
        two = await rotate_webhook_secret(world.ctx, world.caller, endpoint.id, overlap="3h")
        old, middle, new = endpoint.secrets[0], one.secrets[0], two.secrets[0]
        async with at_work(world):
            requests = list(await receiver.wait_for(100))
            await settled(world, 100)
        for secret in (old, middle, new):
            assert all(is_signed_by(request, secret.text) for request in requests)
        world.clock.forward(2 * 3600)  # the first one's end stays where it was
        await events(world, 1)
        async with at_work(world):
            await settled(world, 101)
        later = receiver.requests[-1]
        assert not is_signed_by(later, old.text)
        assert is_signed_by(later, middle.text)
        three = await rotate_webhook_secret(world.ctx, world.caller, endpoint.id, overlap="0s")
        await events(world, 1)
        async with at_work(world):
            await settled(world, 102)
    assert len(list(signed_with(receiver.requests[-1]))) == 1
    assert is_signed_by(receiver.requests[-1], three.secrets[0].text)


async def test_no_secret_leaves_with_a_message(world: World) -> None:
    """A thousand requests, byte by byte."""
    async with Receiver() as receiver, at_work(world):
        endpoint = await endpoint_at(world, receiver.url())
        await asyncio.gather(*(events(world, 50) for _ in range(20)))
        requests = list(await receiver.wait_for(1000, seconds=100))
        done = await settled(world, 1000)
    key = endpoint.secrets[0].key
    spellings = (key, key.hex().encode(), endpoint.secrets[0].text.removeprefix("whsec_").encode())
    sent = b"".join(request.raw for request in requests)
    assert not any(spelling in sent for spelling in spellings)
    assert repr(key) not in repr(endpoint)
    assert not any(spelling in repr(done).encode() for spelling in spellings)
    assert len({r.headers["webhook-id"] for r in requests}) == 1000


async def test_three_days_of_failure_disable_with_an_alert(world: World) -> None:
    """However many wait: at the same age, after as many attempts."""
    ages, counts = [], []
    for pending in (1, 200):
        async with Receiver() as receiver:
            receiver.always = answer(500)
            endpoint = await endpoint_at(world, receiver.url())
            began = world.clock()
            await events(world, pending)
            for _ in range(100):
                async with at_work(world):
                    seen = len(receiver.requests)
                    await receiver.wait_for(seen + 1)
                await watch_webhook_endpoints(world.ctx, "run_1")
                if not (await endpoint_now(world, endpoint)).enabled:
                    break
                await forward(world, timedelta(hours=4))
            ages.append(world.clock() - began)
            counts.append(len(receiver.requests))
            async with at_work(world):
                done = await settled(world, pending)
            left = await endpoint_now(world, endpoint)
            assert left.disabled_because is DisabledBecause.FAILING
            ours = [d for d in done if d.endpoint == endpoint.id]
            assert {d.status for d in ours} == {DeliveryStatus.FAILED}
            await delete_webhook_endpoint(world.ctx, world.caller, endpoint.id)
    assert ages[0] == ages[1] == timedelta(days=3)
    assert abs(counts[0] - counts[1]) <= 3
    alerts = [a for a in await world.all(Alert) if a.problem.stage == "disabled"]
    assert {a.problem.type for a in alerts} == {AlertType.MERCHANT_WEBHOOK_FAILING}
    assert len(alerts) == 2


async def test_what_a_disabled_endpoint_missed_can_be_told_and_sent(world: World) -> None:
    async with Receiver() as receiver:
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 10)
        off = EndpointChanges(status="disabled")
        await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, off)
        await events(world, 5)
        async with at_work(world):
            missed = await settled(world, 15)
        assert {d.failure for d in missed} == {Failure.ENDPOINT_DISABLED}
        on = EndpointChanges(status="enabled")
        await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, on)
        await events(world, 1)
        async with at_work(world):
            await receiver.wait_for(1)
            await settled(world, 16)
        assert len(receiver.requests) == 1  # nothing is sent that nobody asked for
        done = await resend_since(
            world.ctx, world.caller, endpoint.id, world.clock() - timedelta(hours=1)
        )
        assert (done.resent, done.not_kept) == (15, 0)
        async with at_work(world):
            await receiver.wait_for(16)
            await settled(world, 16)
    assert {d.status for d in await deliveries(world)} == {DeliveryStatus.DELIVERED}


async def test_an_endpoint_that_cannot_be_read_holds_up_the_end_of_no_other(world: World) -> None:
    off = EndpointChanges(status="disabled")
    endpoints = [await endpoint_at(world, "http://127.0.0.1:9/") for _ in range(3)]
    await events(world, 2)
    while await tell_events(world.ctx, "run", event_body) == 0:
        await asyncio.sleep(0.05)
    ended = [
        await update_webhook_endpoint(world.ctx, world.caller, each.id, off) for each in endpoints
    ]
    await spoil(world, ended[0])
    for each in ended[1:]:  # so that the spoilt row is met first
        await write(world, each, "sealed")
    async with at_work(world):
        over = {d.endpoint for d in await settled(world, 4) if d.failure}
    assert over == {each.id for each in ended[1:]}


async def test_what_failed_at_once_is_due_again_one_by_one(world: World) -> None:
    async with Receiver() as receiver:
        receiver.always = answer(500)
        for _ in range(8):
            await endpoint_at(world, receiver.url())
        await events(world, 1)
        async with at_work(world):
            failed = await tried(world, 8)
    assert len({delivery.next_attempt_at for delivery in failed}) > 1


async def test_410_is_the_end(world: World) -> None:
    async with Receiver() as receiver:
        receiver.always = answer(410)
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 3)
        async with at_work(world):
            done = await settled(world, 3)
    assert {d.failure for d in done} == {Failure.ENDPOINT_DISABLED}
    left = await endpoint_now(world, endpoint)
    assert left.status is EndpointStatus.DISABLED
    assert left.disabled_because is DisabledBecause.GONE
    assert len(receiver.requests) == 1
    assert [a.problem.stage for a in await world.all(Alert)] == ["disabled"]


async def test_410_is_the_end_whatever_is_changed_meanwhile(world: World) -> None:
    """The endpoint that was asked is an older version of it by the time of the answer."""
    async with Receiver() as receiver:
        receiver.always = answer(410)
        receiver.hanging.clear()
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 2)
        async with at_work(world):
            await receiver.wait_for(1)
            await rotate_webhook_secret(world.ctx, world.caller, endpoint.id, overlap="1h")
            receiver.hanging.set()
            done = await settled(world, 2)
    assert {d.failure for d in done} == {Failure.ENDPOINT_DISABLED}
    assert (await endpoint_now(world, endpoint)).disabled_because is DisabledBecause.GONE
    assert len(receiver.requests) == 1
    assert [a.problem.stage for a in await world.all(Alert)] == ["disabled"]


async def test_410_of_where_it_no_longer_leads_ends_nothing(world: World) -> None:
    async with Receiver() as before, Receiver() as after:
        before.always = answer(410)
        before.hanging.clear()
        endpoint = await endpoint_at(world, before.url())
        await events(world, 1)
        async with at_work(world):
            await before.wait_for(1)
            moved = EndpointChanges(url=after.url())
            await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, moved)
            before.hanging.set()
            (failed,) = await tried(world, 1)
        assert (failed.status, failed.failure) == (DeliveryStatus.PENDING, None)
        assert (await endpoint_now(world, endpoint)).enabled
        await forward(world, timedelta(minutes=1))
        async with at_work(world):
            (done,) = await settled(world, 1)
    assert done.status is DeliveryStatus.DELIVERED
    assert len(after.requests) == 1
    assert await world.all(Alert) == []


async def test_nothing_is_sent_after_a_deletion(world: World) -> None:
    """Claimed already, its endpoint deleted before it was sent: the commit of that is later."""
    async with Receiver() as receiver:
        receiver.hanging.clear()
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 20)
        async with at_work(world):
            await receiver.wait_for(1)
            await delete_webhook_endpoint(world.ctx, world.caller, endpoint.id)
            receiver.hanging.set()
            done = await settled(world, 20)
    assert len(receiver.requests) == 1
    assert sorted(d.status for d in done) == ["delivered", *["failed"] * 19]
    assert {d.failure for d in done if d.failure} == {Failure.ENDPOINT_DELETED}
    page = await world.ctx.webhooks.webhook_endpoint(endpoint.merchant, endpoint.id)
    assert page is not None
    assert page.secrets == ()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("999999999", 3600),
        ("99999999999999999999", 3600),
        ("-1", 5),
        ("soon", 5),
        ("", 5),
        ("Tue, 24 Nov 2026 12:10:00 GMT", 600),
        ("Tue, 24 Nov 2020 12:10:00 GMT", 5),
    ],
)
async def test_a_receivers_brake_is_heeded_within_reason(
    world: World, said: str, seconds: int
) -> None:
    """For the endpoint, and not for the one delivery alone."""
    async with Receiver() as receiver:
        receiver.answers = [answer(429, f"Retry-After: {said}")]
        await endpoint_at(world, receiver.url())
        await events(world, 3)
        async with at_work(world):
            found = await tried(world, 1)
            left = await world.connection.fetchval(
                "SELECT extract(epoch FROM paused_until - clock_timestamp()) FROM webhook_pause"
            )
    (one,) = [d for d in found if d.attempts]
    assert one.next_attempt_at is not None
    waits = (one.next_attempt_at - world.clock()).total_seconds()
    spread = 0.2 * 5 if seconds == 5 else 0
    assert seconds - spread <= waits <= seconds + spread
    assert seconds - spread - 60 <= left <= seconds + spread
    assert len(receiver.requests) == 1

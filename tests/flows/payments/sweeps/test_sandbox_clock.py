"""The sweep beside the sandbox, whose clock is ten minutes ahead of ours: nothing is scripted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from paygate.crypto.secret import Secret
from paygate.domain.payments.payment_intent import Status
from paygate.domain.payments.payment_method import CardToken
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.provider.clock import learn_the_time
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.settings import StripeSettings
from tests.flows.payments.sweeps.test_resolve_attempts import status
from tests.flows.world import INSTALLATION, World
from tests.sandbox.caller import SECRET_KEY, Caller
from tests.sandbox.conftest import options, sandbox, session, stripe

__all__ = ["options", "sandbox", "session", "stripe"]

AHEAD_SECONDS = 600
REQUEST = Confirmation(instrument=CardToken("pm_card_visa"), return_url="https://shop.example/done")


@pytest.fixture
async def ahead(world: World, stripe: Caller) -> AsyncIterator[World]:
    """A world by real time, with a provider that lives ten minutes later."""
    provider = StripeProvider(
        StripeSettings(
            api_base=stripe.url,
            api_key=Secret(SECRET_KEY),
            webhook_secrets=(Secret("whsec_1"),),
            installation=INSTALLATION,
        )
    )
    await stripe.advance(AHEAD_SECONDS)
    world.clock.time = datetime.now(UTC)
    world.use(provider=provider)
    await learn_the_time(world.ctx)
    yield world
    await provider.close()


@pytest.mark.parametrize("charged", [True, False])
async def test_a_node_that_is_ten_minutes_late_fails_nothing(
    ahead: World, stripe: Caller, charged: bool
) -> None:
    kind = "drop_reply" if charged else "error_before"
    await stripe.control("POST", "faults", {"on": "confirm", "kind": kind, "count": 1})
    intent = await ahead.create()
    intent = await confirm_payment_intent(ahead.ctx, ahead.caller, intent.id, REQUEST)
    assert intent.status is Status.PROCESSING
    for minutes in (3, 11, 11):
        ahead.clock.time += timedelta(minutes=minutes)
        await resolve_attempts(ahead.ctx, "run_1")
    # Where nothing is found, a node whose clock is right will say so.
    expected = Status.SUCCEEDED if charged else Status.PROCESSING
    assert await status(ahead, intent) is expected
    assert len(await stripe.charges()) == charged

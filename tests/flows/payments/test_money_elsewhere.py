"""Money of a try that was taken for not sent: the provider knows better."""

import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import Refusal
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, NotSent
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from tests.flows.world import APPROVED, CARD, THEIRS, World, answer, notice

HELD = Approved(captured=False, amount_received=0, amount_capturable=1999, payment_method=CARD)


async def not_sent(world: World) -> tuple[PaymentIntent, Attempt]:
    """A confirm that was certainly not sent, under a key whose owner may come again."""
    world.provider.answers.append(Answer(NotSent("429")))
    intent = await world.create()
    with pytest.raises(Refusal):
        await world.confirm_once(intent, "pay")
    after, (attempt,) = await world.now(intent)
    assert attempt.state is AttemptState.NOT_SENT
    return after, attempt


@pytest.mark.parametrize("outcome", [APPROVED, HELD])
async def test_what_was_taken_for_not_sent_pays_all_the_same(
    world: World, outcome: Approved
) -> None:
    """And whoever comes again with the key begins no second try."""
    intent, attempt = await not_sent(world)
    event = await world.applied(notice(attempt, outcome))
    assert event.verdict == "applied"
    status = Status.SUCCEEDED if outcome.captured else Status.REQUIRES_CAPTURE
    assert (await world.now(intent))[0].status is status
    await world.confirm_once(intent, "pay")
    assert len(world.provider.orders) == 1
    again = await world.applied(notice(attempt, outcome, reference="evt_2"))
    assert again.verdict in ("already_settled", "nothing_new")
    assert await world.all(Alert) == []
    assert len(await world.all(Transfer)) == int(outcome.captured)


@pytest.mark.parametrize("outcome", [APPROVED, HELD])
async def test_money_of_a_try_that_does_not_count_is_told(world: World, outcome: Approved) -> None:
    """The payer would be charged twice, and nobody would know."""
    intent, attempt = await not_sent(world)
    world.provider.answers.append(answer(APPROVED, provider_reference="theirs_2"))
    await world.confirm_once(intent, "pay")
    paid, _ = await world.now(intent)
    assert (paid.status, paid.provider_reference) == (Status.SUCCEEDED, "theirs_2")
    world.provider.answers.append(answer(Cancelled()))  # for a hold
    event = await world.applied(notice(attempt, outcome))
    assert (await world.now(intent))[0] == paid
    alerts = await world.all(Alert)
    if outcome.captured:
        assert event.verdict == "orphan_charge"
        (alert,) = alerts
        assert (alert.problem.type, alert.problem.severity) == (AlertType.ORPHAN_CHARGE, "critical")
        assert THEIRS in alert.problem.what_to_do
    else:
        assert (event.verdict, alerts) == ("hold_voided", [])
        (order,) = world.provider.standing
        assert order.provider_reference == THEIRS

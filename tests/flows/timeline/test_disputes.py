"""A dispute in its payment's timeline: asked, taken, decided, and its money."""

from paygate.domain.timeline.entry import Kind
from tests.domain.disputes import made
from tests.flows.disputes.stories import disputed, paid
from tests.flows.timeline.test_explain import of, told
from tests.flows.world import World


async def test_a_dispute_from_its_arrival_to_its_end(world: World) -> None:
    intent = await paid(world)
    taken = made.row("txn_1", -1999, fee=1500)
    await disputed(world, "needs_response", taken)
    await disputed(world, "under_review", taken)
    dispute = await disputed(world, "lost", taken)
    entries = await told(world, intent)
    moves = of(entries, Kind.DISPUTE)
    assert [(e.before, e.after) for e in moves][-2:] == [
        ("needs_response", "under_review"),
        ("under_review", "lost"),
    ]
    assert moves[0].summary.startswith("The payer's bank disputes 19.99 EUR: fraudulent")
    assert moves[-1].summary == "The dispute of 19.99 EUR was lost."
    assert {e.details["dispute"] for e in moves} == {dispute.id}
    assert "dispute_withdraw" in {e.outcome for e in of(entries, Kind.TRANSFER)}
    await world.count_occurrences()
    kinds = {e.details["type"] for e in of(await told(world, intent), Kind.ALERT)}
    assert "dispute_opened" in kinds, "of a dispute, and so of its payment"

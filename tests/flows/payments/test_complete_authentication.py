"""A payer comes back: only the signed state and the provider's word count, and each counts once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from paygate.crypto.callback_states import CallbackState
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.flows.context import CommitDoor
from paygate.flows.payments.complete_authentication import (
    ASK_SECONDS,
    LATE,
    complete_authentication,
)
from paygate.flows.payments.confirm import Confirmation, confirm_order, confirm_payment_intent
from paygate.providers.absence import Absent
from paygate.storage.change import Change, Overloaded, Verdict
from tests.flows.world import (
    APPROVED,
    INSTALLATION,
    THEIRS,
    ScriptedProvider,
    World,
    answer,
    notice,
)
from tests.making import START

PUBLIC = "https://pay.example/gateway"
CHALLENGE = "https://bank.example/3ds"
RETURN_URL = "https://shop.example/done?order=7&status=mine#top"
HELD = Approved(captured=False, amount_received=0, amount_capturable=1999)
DECLINED = Declined(PaymentError("authentication_failed", "no"))
LATER = START + timedelta(seconds=5)


class Bank(ScriptedProvider):
    """A provider that something happens to while it is asked."""

    meanwhile: Callable[[], Awaitable[None]] | None = None
    timeouts: tuple[float, ...] = ()

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        self.timeouts += (timeout_seconds,)
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().retrieve(provider_reference, timeout_seconds=timeout_seconds)


class Challenged:
    """An intent that waits for its payer, and the address that they come back by."""

    def __init__(self, world: World, intent: PaymentIntent, attempt: Attempt, bank: Bank) -> None:
        self.world, self.intent, self.attempt, self.bank = world, intent, attempt, bank
        url = urlsplit(str(bank.orders[-1].return_url))
        assert f"{url.scheme}://{url.netloc}{url.path}" == (
            f"{PUBLIC}/payment-intents/{intent.id}/3ds-callback"
        )
        self.state = parse_qs(url.query)["state"][0]

    async def back(self, *, state: str | None = "", intent: str = "") -> str:
        """Where the payer is sent on to."""
        caller = Caller(Actor("client"), "default", "req_back", "192.0.2.1")
        state = self.state if state == "" else state
        return await complete_authentication(
            self.world.ctx, caller, intent or self.intent.id, state
        )

    async def refused(self, *, state: str | None = "", intent: str = "") -> None:
        """Refused, and nothing was asked or changed."""
        counts = await self.world.counts()
        with pytest.raises(Refusal) as refusal:
            await self.back(state=state, intent=intent)
        assert refusal.value.code is ErrorCode.CALLBACK_STATE_INVALID
        assert await self.world.counts() == counts
        assert self.bank.retrieved == []

    def page(self, status: str) -> str:
        """The merchant's page, as the payer gets there."""
        ours = f"payment_intent={self.intent.id}&status={status}"
        return f"https://shop.example/done?order=7&status=mine&{ours}#top"


@pytest.fixture
def bank(world: World) -> Bank:
    bank = Bank()
    world.provider = bank
    policy = msgspec.structs.replace(world.ctx.policy, public_url=PUBLIC)
    world.use(provider=bank, policy=policy)
    return bank


async def challenge(
    world: World, bank: Bank, url: str = RETURN_URL, said: Answer | None = None
) -> Challenged:
    action = ActionRequired(RedirectToUrl(CHALLENGE, "what the provider was told"))
    bank.answers.append(said or answer(action))
    intent = await world.create()
    request = Confirmation(instrument=CardToken("tok_1"), return_url=url)
    intent = await confirm_payment_intent(world.ctx, world.caller, intent.id, request)
    assert intent.attempt is not None
    attempt = await world.ctx.read.attempt(intent.merchant, intent.attempt)
    assert attempt is not None
    return Challenged(world, intent, attempt, bank)


@pytest.fixture
async def challenged(world: World, bank: Bank) -> Challenged:
    return await challenge(world, bank)


def test_the_merchant_sees_their_own_page(challenged: Challenged) -> None:
    assert challenged.intent.status is Status.REQUIRES_ACTION
    assert challenged.intent.next_action == RedirectToUrl(CHALLENGE, RETURN_URL)
    assert challenged.attempt.return_url == RETURN_URL


async def test_a_re_send_is_equal_whatever_became_of_keys_and_settings(
    world: World, challenged: Challenged
) -> None:
    (order,) = challenged.bank.orders
    policy = msgspec.structs.replace(
        world.ctx.policy, public_url="https://moved.example", authentication_ttl=timedelta(hours=9)
    )
    world.use(policy=policy)
    intent, (attempt,) = await world.now(challenged.intent)
    assert confirm_order(intent, attempt, None) == order


async def test_without_an_address_of_ours_the_provider_gets_the_merchants(world: World) -> None:
    intent, attempt = await world.confirming(ActionRequired(RedirectToUrl(CHALLENGE, "x")))
    assert (attempt.callback_url, world.provider.orders[0].return_url) == (None, attempt.return_url)
    assert intent.next_action == RedirectToUrl(CHALLENGE, "x")


@pytest.mark.parametrize(
    ("outcome", "status", "state"),
    [
        (APPROVED, Status.SUCCEEDED, AttemptState.APPROVED),
        (HELD, Status.REQUIRES_CAPTURE, AttemptState.APPROVED),
        (DECLINED, Status.FAILED, AttemptState.DECLINED),
    ],
)
async def test_what_the_provider_says_is_concluded_once(
    world: World, challenged: Challenged, outcome: Outcome, status: Status, state: AttemptState
) -> None:
    challenged.bank.objects.append(answer(outcome, as_of=LATER))
    first = await challenged.back()
    assert first == challenged.page(status)
    intent, (attempt,) = await world.now(challenged.intent)
    assert (intent.status, attempt.state) == (status, state)
    assert intent.next_action is None
    assert (await world.event_types(intent))[-1] == f"payment_intent.{status}"
    assert challenged.bank.retrieved == [THEIRS]
    assert challenged.bank.timeouts == (ASK_SECONDS,)
    # Again and again: the same way on, nothing asked, nothing told.
    event_types = await world.event_types(intent)
    assert [await challenged.back() for _ in range(3)] == [first] * 3
    assert (await world.now(intent))[0] == intent
    assert await world.event_types(intent) == event_types
    assert challenged.bank.retrieved == [THEIRS]


async def test_each_visit_is_audited_without_its_address(
    world: World, challenged: Challenged
) -> None:
    challenged.bank.objects.append(answer(APPROVED, as_of=LATER))
    await challenged.back()
    await challenged.back()
    visits = [e for e in await world.audited() if e.action is Action.INTENT_AUTHENTICATE]
    assert len(visits) == 3  # come back, concluded, come back
    for entry in visits:
        assert (entry.actor, entry.merchant) == (Actor("client"), "default")
        assert (entry.request_id, entry.address) == ("req_back", "192.0.2.1")
        assert entry.subject is not None
        assert entry.subject.id == challenged.intent.id
        assert challenged.state not in str(entry)


async def test_a_payer_who_did_not_finish_is_asked_of_again(
    world: World, challenged: Challenged
) -> None:
    waiting = answer(ActionRequired(RedirectToUrl(CHALLENGE, "ours")), as_of=LATER)
    challenged.bank.objects += [waiting, answer(APPROVED, as_of=LATER + timedelta(seconds=9))]
    assert await challenged.back() == challenged.page("requires_action")
    assert (await world.now(challenged.intent))[0] == challenged.intent
    assert await challenged.back() == challenged.page("succeeded")


async def test_where_the_provider_works_on_nothing_is_promised(
    world: World, challenged: Challenged
) -> None:
    challenged.bank.objects.append(answer(Pending(), as_of=LATER))
    assert await challenged.back() == challenged.page("requires_action")
    intent, _ = await world.now(challenged.intent)
    assert (intent.next_action, intent.pending_operation) == (None, "confirm")


@pytest.mark.parametrize("said", [Answer(Unknown("timeout")), Absent()])
async def test_a_provider_that_does_not_tell_changes_nothing(
    world: World, challenged: Challenged, said: Answer | Absent
) -> None:
    challenged.bank.objects.append(said)
    assert await challenged.back() == challenged.page("processing")
    assert (await world.now(challenged.intent))[0] == challenged.intent


class BusyDoor:
    """Takes what is read and written down of a visit, and no more."""

    def __init__(self, door: CommitDoor) -> None:
        self.door = door

    async def commit(self, change: Change) -> Verdict:
        if change.advances:
            raise Overloaded("the queue is full")
        return await self.door.commit(change)


async def test_a_database_that_is_too_busy_does_not_keep_the_payer(
    world: World, challenged: Challenged
) -> None:
    challenged.bank.objects.append(answer(APPROVED, as_of=LATER))
    world.use(door=BusyDoor(world.ctx.door))
    assert await challenged.back() == challenged.page("processing")
    assert (await world.now(challenged.intent))[0] == challenged.intent


async def test_a_tie_of_seconds_is_asked_again_and_shortly(
    world: World, challenged: Challenged
) -> None:
    challenged.bank.objects += [answer(APPROVED), answer(APPROVED)]
    assert await challenged.back() == challenged.page("succeeded")
    assert sum(challenged.bank.timeouts) <= 5


@pytest.mark.parametrize("said", [answer(APPROVED, as_of=LATER), Answer(Unknown("timeout"))])
async def test_an_event_that_comes_meanwhile_concludes_once(
    world: World, challenged: Challenged, said: Answer
) -> None:
    """Also the provider that does not answer us is then no reason to say `processing`."""

    async def deliver() -> None:
        challenged.bank.meanwhile = None
        event = await world.applied(notice(challenged.attempt, APPROVED, as_of=LATER))
        assert event.verdict == "applied"

    challenged.bank.meanwhile = deliver
    challenged.bank.objects.append(said)
    assert await challenged.back() == challenged.page("succeeded")
    intent, (attempt,) = await world.now(challenged.intent)
    assert (intent.version, attempt.version) == (4, 3)
    assert (await world.event_types(intent)).count("payment_intent.succeeded") == 1


async def test_racing_visits_and_the_event_have_one_effect(
    world: World, challenged: Challenged
) -> None:
    challenged.bank.objects += [answer(APPROVED, as_of=LATER)] * 20
    pages = await asyncio.gather(
        *(challenged.back() for _ in range(8)),
        world.applied(notice(challenged.attempt, APPROVED, as_of=LATER)),
    )
    assert set(pages[:-1]) == {challenged.page("succeeded")}
    intent, _ = await world.now(challenged.intent)
    assert (intent.version, intent.amount_received) == (4, 1999)
    assert (await world.event_types(intent)).count("payment_intent.succeeded") == 1


async def test_a_late_visit_is_shown_the_way_and_has_no_effect(
    world: World, challenged: Challenged
) -> None:
    lasts = world.ctx.policy.authentication_ttl + LATE
    world.clock.forward(lasts.total_seconds())
    assert await challenged.back() == challenged.page("requires_action")
    assert challenged.bank.retrieved == []
    assert (await world.now(challenged.intent))[0] == challenged.intent
    await world.applied(notice(challenged.attempt, DECLINED, as_of=LATER))
    assert await challenged.back() == challenged.page("failed")


async def test_the_last_moment_is_in_time(world: World, challenged: Challenged) -> None:
    lasts = world.ctx.policy.authentication_ttl + LATE
    world.clock.forward(lasts.total_seconds() - 1)
    challenged.bank.objects.append(answer(APPROVED, as_of=LATER))
    assert await challenged.back() == challenged.page("succeeded")


async def test_a_payer_without_a_challenge_is_sent_on(world: World, bank: Bank) -> None:
    """Nobody told them to come; whoever has the address gets there all the same."""
    paid = await challenge(world, bank, said=answer(APPROVED))
    assert await paid.back() == paid.page("succeeded")
    assert bank.retrieved == []


async def test_a_reply_that_was_lost_leaves_nothing_to_ask_for(world: World, bank: Bank) -> None:
    lost = await challenge(world, bank, said=Answer(Unknown("timeout")))
    assert await lost.back() == lost.page("processing")
    assert bank.retrieved == []
    assert (await world.now(lost.intent))[0] == lost.intent


async def test_what_we_did_not_sign_is_refused_alike(world: World, challenged: Challenged) -> None:
    merchant, attempt, expiry, mac = challenged.state.split(".")
    wrong = mac[:-1] + ("0" if mac[-1] != "0" else "1")
    await challenged.refused(state=None)
    for state in (
        "x",
        f"{merchant}.{attempt}.{expiry}.{wrong}",
        f"other.{attempt}.{expiry}.{mac}",
        f"{merchant}.{attempt}.{int(expiry) + 1}.{mac}",
        f"{merchant}.{attempt}.{expiry}.",
        "." * 3,
        "x" * 100_000,
    ):
        await challenged.refused(state=state)


async def test_another_intents_state_is_refused(
    world: World, bank: Bank, challenged: Challenged
) -> None:
    other = await challenge(world, bank)
    await challenged.refused(state=other.state)
    await challenged.refused(intent=other.intent.id)
    await challenged.refused(intent="pi_" + "0" * 26)
    await challenged.refused(intent="nonsense")


async def test_a_genuine_state_of_what_is_not_there_is_refused(
    world: World, challenged: Challenged
) -> None:
    """As when the database is an older copy."""
    made = CallbackState("default", "at_" + "0" * 26, 10**11)
    await challenged.refused(state=world.ctx.callback_states.make(challenged.intent.id, made))
    foreign = CallbackState("other", challenged.attempt.id, 10**11)
    await challenged.refused(state=world.ctx.callback_states.make(challenged.intent.id, foreign))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://shop.example/", ErrorCode.PARAMETER_INVALID),
        ("https://shop.example@evil.example/", ErrorCode.PARAMETER_INVALID),
        ("https://evil.example/", ErrorCode.RETURN_URL_NOT_ALLOWED),
    ],
)
async def test_a_confirm_with_another_return_url_leaves_nothing(
    world: World, bank: Bank, url: str, code: ErrorCode
) -> None:
    policy = msgspec.structs.replace(world.ctx.policy, return_url_hosts=("shop.example",))
    world.use(policy=policy)
    intent = await world.create()
    counts = await world.counts()
    request = Confirmation(instrument=CardToken("tok_1"), return_url=url)
    with pytest.raises(Refusal) as refusal:
        await confirm_payment_intent(world.ctx, world.caller, intent.id, request)
    assert (refusal.value.code, refusal.value.param) == (code, "return_url")
    assert await world.counts() == counts
    assert bank.orders == []
    assert INSTALLATION not in refusal.value.message

"""Rate limits: on a whole gateway with few requests to spend, and the strict ones up close."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import pytest

from paygate.api.edge.browser_pages import NOTHING_HERE
from paygate.api.edge.buckets import RateLimited
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.limits import Limits
from paygate.api.payments.card_testing import is_decline
from paygate.crypto.api_keys import parse_api_key
from paygate.domain.access.roles import Actor, Caller, Role
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import PaymentError
from paygate.domain.payments.payment_intent import Status
from paygate.flows.access.create_api_key import create_api_key
from paygate.settings import load
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry.timing import Timing
from paygate.wiring.keys import open_records
from paygate.wiring.service import open_context
from tests.api.test_provider_events import deliver, event, signed
from tests.gateway import Gateway, Response
from tests.making import make_intent
from tests.storage.stored import TABLE_OF, select

UNKNOWN = "/payment-intents/pi_" + "0" * 26
PROCESSES = 2
KEY = 180
"""60/minute is 180 in three minutes for a key, 720 for an address, 6 declines in one minute."""
FAILURES = 600
SETTINGS = {"PAYGATE_RATE_LIMIT": "60/minute", "PAYGATE_TRUSTED_PROXIES": "127.0.0.1"}


@dataclass
class Client:
    """Somebody at an address of their own, as the trusted proxy (the test) says."""

    gateway: Gateway
    address: str
    key: str = ""

    async def get(self, key: str | None = None) -> Response:
        """A cheap request, of an intent that is not there."""
        headers = {"X-Forwarded-For": self.address}
        return await self.gateway.call("GET", UNKNOWN, key=key or self.key, headers=headers)

    async def until_refused(self, key: str, most: int) -> tuple[int, Response]:
        """Ask until 429; how often that was not the answer, and the 429."""
        for number in range(most + 1):
            answer = await self.get(key)
            if answer.status == 429:
                return number, answer
        raise AssertionError(f"never refused in {most}")


@pytest.fixture(scope="module")
def tight_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of two processes with small limits, behind a trusted proxy: us."""
    folder = tmp_path_factory.mktemp("tight")
    gateway = Gateway.start(folder, "--processes", str(PROCESSES), environment=SETTINGS)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
async def tight(tight_process: Gateway) -> AsyncIterator[Gateway]:
    """It, over connections of this test's own: calls in turn are one connection, one process."""
    gateway = Gateway(tight_process.process, tight_process.ready, tight_process.log)
    await gateway.open()
    yield gateway
    await gateway.close()


async def new_key(gateway: Gateway, role: Role = Role.OPERATOR) -> str:
    settings = load({}, data=Path(gateway.ready["data_dir"]))
    async with open_context(settings, name="test") as ctx:
        caller = Caller(Actor("command", name="test"), DEFAULT_MERCHANT, request_id="test")
        _, secret = await create_api_key(ctx, caller, role=role, name="test")
        return secret.reveal()


def forged(number: int) -> str:
    """Not even well-formed: it costs the gateway no look-up."""
    return f"pgw_test_sk_{number:08}_x_x"


async def audited(gateway: Gateway) -> list[AuditEntry]:
    records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(gateway.ready["database_url"])
    rows = await connection.fetch(f"{select(TABLE_OF[AuditEntry])} ORDER BY at, id")
    await connection.close()
    return [records.open(AuditEntry, tuple(row)) for row in rows]


async def test_a_key_may_spend_its_burst(tight: Gateway) -> None:
    """Many at once, over both processes: each has half of the key's limit in its memory."""
    client = Client(tight, "192.0.2.1", await new_key(tight))
    answers = await asyncio.gather(*(client.get() for _ in range(KEY + 40)))
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {404, 429}
    assert KEY // PROCESSES <= len(answers) - len(refused) <= KEY + 20
    for answer in refused:
        error = answer.json["error"]
        assert (error["type"], error["code"]) == ("rate_limit", "rate_limited")
        assert error["retriable"] is True
        assert answer.headers["Request-Id"] == error["request_id"]
        wait = answer.headers["Retry-After"]
        assert 1 <= int(wait) <= 180
        assert answer.headers["RateLimit-Policy"] == f'"key";q={KEY};w=180'
        assert answer.headers["RateLimit"] == f'"key";r=0;t={wait}'
    assert "RateLimit" not in answers[0].headers or answers[0].status == 429
    other = Client(tight, "192.0.2.1", await new_key(tight))
    assert (await other.get()).status == 404

    entries = [entry for entry in await audited(tight) if entry.details == {"code": "rate_limited"}]
    mine = [e for e in entries if e.actor.id == parse_api_key(client.key).key_id]
    assert 1 <= len(mine) <= PROCESSES * 2  # a process, and a minute that may have ended


async def test_each_network_has_its_own_part_of_a_publishable_key(tight: Gateway) -> None:
    key = await new_key(tight, Role.PUBLISHABLE)
    thief = Client(tight, "2001:db8:1::1", key)
    _, answer = await thief.until_refused(key, KEY)
    assert answer.headers["RateLimit-Policy"].startswith('"key"')
    neighbour = Client(tight, "2001:db8:1::ffff", key)
    assert (await neighbour.get()).status == 429
    payer = Client(tight, "2001:db8:2::1", key)
    answer = await payer.get()
    assert answer.status == 404, "let through, to an intent that it has no secret for"


async def test_failed_authentication_is_limited_and_no_proven_key_is_shut_out(
    tight: Gateway,
) -> None:
    client = Client(tight, "192.0.2.2", await new_key(tight))
    guess = await new_key(tight)
    assert (await client.get()).status == 404
    count, answer = await client.until_refused(forged(1), FAILURES)
    assert count >= FAILURES // PROCESSES
    assert answer.code == "rate_limited"
    assert answer.headers["RateLimit-Policy"] == f'"failed-authentication";q={FAILURES};w=60'
    # A right guess is refused like a wrong one; a key that proved itself before is no guess.
    assert (await client.get(guess)).status == 429
    assert (await client.get()).status == 404
    # The header's left is the client's own word, and everybody else goes on.
    assert (await Client(tight, "203.0.113.9, 192.0.2.2").get(forged(2))).status == 429
    assert (await Client(tight, "192.0.2.3").get(forged(3))).status == 401


async def test_an_address_is_limited_before_its_key_is_looked_at(tight: Gateway) -> None:
    client = Client(tight, "192.0.2.4")
    _, answer = await client.until_refused(forged(1), FAILURES)
    for _ in range(4 * KEY):
        if '"address"' in answer.headers.get("RateLimit-Policy", ""):
            break
        answer = await client.get(forged(1))
    assert answer.headers["RateLimit-Policy"] == f'"address";q={4 * KEY};w=180'

    # Events and probes are not limited.
    body = event("evt_unlimited")
    header = {"X-Forwarded-For": client.address}
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert (await tight.call("GET", path, key=None, headers=header)).status == 200
    signature = signed(tight.ready["webhook_secret"], body)
    assert (await deliver(tight, body, signature)).status == 200


async def test_events_are_never_limited(tight: Gateway) -> None:
    """Nor what only looks like one: the signature is the door's own guard."""
    body = event("evt_many")
    for _ in range(8):
        forgeries = (deliver(tight, body, "t=1,v1=00") for _ in range(KEY // 2))
        assert {answer.status for answer in await asyncio.gather(*forgeries)} == {400}
    signature = signed(tight.ready["webhook_secret"], body)
    assert (await deliver(tight, body, signature)).status == 200


async def test_card_testing_ends(tight: Gateway) -> None:
    """Stolen cards tried in turn: declined, declined, and then no more."""
    key = await new_key(tight)
    auth = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.5"}

    async def confirm(token: str) -> Response:
        intent = await tight.call(
            "POST", "/payment-intents", {"amount": 100, "currency": "eur"}, headers=auth
        )
        card = {"type": "card", "token": token}
        body = {"payment_method": card, "return_url": "https://shop.example/done"}
        path = f"/payment-intents/{intent.json['id']}"
        answer = await tight.call("POST", f"{path}/confirm", body, headers=auth)
        if answer.status == 429:
            left = await tight.call("GET", path, headers=auth)
            assert left.json["status"] == "created"
        return answer

    for _ in range(4):
        assert (await confirm("pm_card_visa")).json["status"] == "succeeded"
    answers = [await confirm("pm_card_visa_chargeDeclined")]
    while len(answers) < 15 and answers[-1].status != 429:
        answers.append(await confirm("pm_card_visa_chargeDeclined"))
    *declines, answer = answers
    assert [decline.json["status"] for decline in declines] == ["failed"] * len(declines)
    assert len(declines) >= 6 // PROCESSES
    assert answer.code == "rate_limited"
    assert answer.headers["RateLimit-Policy"] == '"declines";q=6;w=60'
    assert (await confirm("pm_card_visa")).status == 429


async def test_a_strangers_x_forwarded_for_is_ignored(gateway: Gateway) -> None:
    """The other gateway trusts no proxy."""
    header = {"X-Forwarded-For": "192.0.2.99"}
    answer = await gateway.call("GET", UNKNOWN, headers=header)
    (entry,) = [e for e in await audited(gateway) if e.request_id == answer.headers["Request-Id"]]
    assert entry.address == "127.0.0.1"


# The strict limits up close, as in production and in one process.


def limits(**more: str) -> Limits:
    return Limits(load({"PAYGATE_ENVIRONMENT": "production"} | more), processes=1)


def exchange(key: str = "k", address: str = "192.0.2.1") -> Exchange:
    return Exchange("req_1", {"authorization": f"Bearer {key}"}, address, Timing())


def caller(role: Role = Role.ADMIN) -> Caller:
    return Caller(Actor("api_key", id="ak_1", role=role), "default", "req_1")


async def good() -> Caller:
    await asyncio.sleep(0)
    return caller()


async def bad() -> Caller:
    await asyncio.sleep(0)
    raise Refusal(ErrorCode.API_KEY_INVALID, "no")


async def test_guesses_at_once_pass_no_more_than_guesses_in_turn() -> None:
    made = limits()
    tries = (made.authenticated(exchange(f"{n}"), bad) for n in range(100))
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(error, RateLimited) for error in errors) == 80
    with pytest.raises(RateLimited):
        await made.authenticated(exchange("right"), good)
    await made.authenticated(exchange("right", "192.0.2.2"), good)


async def test_a_new_key_used_many_times_at_once_is_one_guess() -> None:
    made = limits()
    found = await asyncio.gather(*(made.authenticated(exchange(), good) for _ in range(100)))
    assert found == [caller()] * 100


async def test_a_key_that_was_proven_and_fails_is_a_guess_again() -> None:
    made = limits()
    await made.authenticated(exchange(), good)
    with pytest.raises(Refusal, match="no"):
        await made.authenticated(exchange(), bad)
    for _ in range(20):
        with pytest.raises(Refusal, match="no"):
            await made.authenticated(exchange(), bad)
    with pytest.raises(RateLimited):
        await made.authenticated(exchange(), good)


async def test_another_fault_is_no_guess() -> None:
    async def fault() -> Caller:
        raise OSError("no database")

    made = limits()
    for _ in range(50):
        with pytest.raises(OSError, match="no database"):
            await made.authenticated(exchange(), fault)
    assert await made.authenticated(exchange(), good) == caller()


async def declined(made: Limits, role: Role, address: str = "192.0.2.1") -> None:
    tried = exchange(address=address)
    tried.caller = caller(role)
    async with made.card_tried(tried) as confirm:
        await asyncio.sleep(0)
        confirm.bad = True


async def test_a_payer_may_be_declined_ten_times_a_minute() -> None:
    made = limits()
    tries = (declined(made, Role.PUBLISHABLE) for _ in range(30))
    results = [await asyncio.gather(one, return_exceptions=True) for one in tries]
    assert sum(isinstance(result, RateLimited) for (result,) in results) == 20
    with pytest.raises(RateLimited):
        await declined(made, Role.PUBLISHABLE)
    await declined(made, Role.PUBLISHABLE, "192.0.2.2")
    await declined(made, Role.OPERATOR)


async def test_what_is_approved_costs_nothing() -> None:
    made = limits(PAYGATE_RATE_LIMIT="1/second")
    tried = exchange()
    tried.caller = caller(Role.OPERATOR)
    for _ in range(100):
        async with made.card_tried(tried):
            pass
    for _ in range(6):
        await declined(made, Role.OPERATOR)
    with pytest.raises(RateLimited):
        await declined(made, Role.OPERATOR)


ABOUT = 15
"""A minute that ends between two looks makes room for a few."""


async def at_once(made: Limits, count: int, *, result: str | None, role: Role) -> int:
    """How many of so many confirms at once are let through to a provider that takes its time; all
    end with this result.
    """
    through = 0
    answered = asyncio.Event()

    async def confirm() -> None:
        nonlocal through
        tried = exchange()
        tried.caller = caller(role)
        async with made.card_tried(tried) as confirmed:
            through += 1
            await answered.wait()
            if result is not None:
                setattr(confirmed, result, True)

    tasks = [asyncio.create_task(confirm()) for _ in range(count)]
    await asyncio.sleep(0)  # each has begun, and waits
    answered.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    return through


@pytest.mark.parametrize("result", ["good", None])
async def test_a_slow_provider_refuses_no_honest_shop(result: str | None) -> None:
    """Half a minute of confirms under way at full rate: approved, or not known in the end."""
    made = limits()
    for _ in range(3):
        assert await at_once(made, 3000, result=result, role=Role.OPERATOR) == 3000


async def test_many_stolen_cards_at_once_are_let_through_once() -> None:
    """With a stolen key: a burst, and from then on no more than the cards in turn."""
    limit = limits()
    assert await at_once(limit, 400, result="bad", role=Role.OPERATOR) == 400
    assert await at_once(limit, 4000, result="bad", role=Role.OPERATOR) in range(200, ABOUT + 204)
    assert await at_once(limit, 4000, result="bad", role=Role.OPERATOR) <= ABOUT
    assert await at_once(limits(), 9000, result="bad", role=Role.OPERATOR) == 3000


async def test_one_network_tries_few_cards_at_once() -> None:
    made = limits()
    assert await at_once(made, 400, result="bad", role=Role.PUBLISHABLE) == 20
    assert await at_once(made, 400, result="bad", role=Role.PUBLISHABLE) <= 1


async def test_declines_among_many_approvals_leave_room_for_those_under_way() -> None:
    """A shop whose cards are declined now and then, and whose provider is slow."""
    made = limits()
    assert await at_once(made, 2700, result="good", role=Role.OPERATOR) == 2700
    assert await at_once(made, 300, result="bad", role=Role.OPERATOR) == 300
    assert await at_once(made, 1500, result="good", role=Role.OPERATOR) == 1500
    assert await at_once(made, 1600, result="good", role=Role.OPERATOR) < 1500 + 5 * ABOUT


async def test_what_no_bank_answered_does_not_hide_declines() -> None:
    """A thief between whose cards there are thousands of requests that are refused."""
    made = limits()
    await at_once(made, 400, result="bad", role=Role.OPERATOR)
    await at_once(made, 204, result=None, role=Role.OPERATOR)
    assert await at_once(made, 4000, result="bad", role=Role.OPERATOR) <= 204 + ABOUT


async def test_who_comes_without_a_key_counts_for_their_network_alone() -> None:
    made = limits(PAYGATE_RATE_LIMIT="1/minute")
    for _ in range(12):
        await made.visited(exchange())
    with pytest.raises(RateLimited):
        await made.visited(exchange())
    await made.visited(exchange(address="192.0.2.2"))


async def test_a_payer_who_comes_back_too_often_gets_a_page(tight: Gateway) -> None:
    """The address's limit is met, whatever a key may still spend."""
    path, headers = f"{UNKNOWN}/3ds-callback", {"X-Forwarded-For": "198.51.100.77"}
    answer = await tight.call("GET", path, key=None, headers=headers)
    for _ in range(PROCESSES * 4 * KEY):
        if answer.status == 429:
            break
        answer = await tight.call("GET", path, key=None, headers=headers)
    assert (answer.status, answer.body) == (429, NOTHING_HERE)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["RateLimit-Policy"].startswith('"address"')


async def test_off_is_off() -> None:
    made = Limits(load({"PAYGATE_RATE_LIMIT": "off"}), processes=1)
    for _ in range(1000):
        with pytest.raises(Refusal, match="no"):
            await made.authenticated(exchange(), bad)
        await declined(made, Role.PUBLISHABLE)
    assert await made.authenticated(exchange(), good) == caller()


@pytest.mark.parametrize(
    ("status", "code", "decline"),
    [
        (Status.FAILED, "card_declined", True),
        (Status.FAILED, "expired_card", True),
        (Status.FAILED, "payment_method_rejected", False),
        (Status.FAILED, "provider_configuration", False),
        (Status.SUCCEEDED, None, False),
        (Status.PROCESSING, None, False),
    ],
)
def test_what_a_decline_is(status: Status, code: str | None, *, decline: bool) -> None:
    error = None if code is None else PaymentError(code, "words")
    intent = msgspec.structs.replace(make_intent(), status=status, last_payment_error=error)
    assert is_decline(intent) is decline

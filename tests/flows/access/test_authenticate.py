"""Who calls, and what they may: one answer for every key that does not open, whatever its fault."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from paygate.crypto.api_keys import KeyMode, KeySide, new_api_key, parse_api_key
from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import MATRIX, Action, Actor, Caller, Role
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.authenticate import CACHE_SECONDS, Authenticator, authorize
from paygate.flows.access.create_api_key import create_api_key
from paygate.storage.change import Change
from tests.flows.world import World
from tests.making import START, make_audit, new_id

ALLOWED = {
    Action.INTENT_CREATE: {Role.ADMIN, Role.OPERATOR},
    Action.INTENT_ATTACH: {Role.ADMIN, Role.OPERATOR, Role.PUBLISHABLE},
    Action.INTENT_CONFIRM: {Role.ADMIN, Role.OPERATOR, Role.PUBLISHABLE},
    Action.INTENT_READ: set(Role),
    Action.INTENT_LIST: set(Role) - {Role.PUBLISHABLE},
    Action.INTENT_EXPLAIN: set(Role) - {Role.PUBLISHABLE},
    Action.AUDIT_LIST: {Role.ADMIN, Role.AUDITOR},
    Action.AUDIT_VERIFY: {Role.ADMIN, Role.AUDITOR},
    Action.AUDIT_EXPORT: {Role.ADMIN, Role.AUDITOR},
    Action.AUDIT_DETACH: set(),
    Action.AUDIT_DISOWN: set(),
    Action.ENCRYPTION_STATUS: {Role.ADMIN},
    Action.ENCRYPTION_ROTATE: {Role.ADMIN},
    Action.ENCRYPTION_REWRAP: {Role.ADMIN},
    Action.ENCRYPTION_RETIRE: {Role.ADMIN},
    Action.ENCRYPTION_RESEAL: set(),
    Action.INTENT_CAPTURE: {Role.ADMIN, Role.OPERATOR},
    Action.INTENT_CANCEL: {Role.ADMIN, Role.OPERATOR},
    Action.INTENT_EXPIRE: set(),
    Action.ATTEMPT_RESOLVE: set(),
    Action.AUTHORIZATION_WATCH: set(),
    Action.LEDGER_READ: {Role.ADMIN, Role.OPERATOR, Role.FINANCE, Role.AUDITOR},
    Action.CUSTOMER_READ: set(Role) - {Role.PUBLISHABLE},
    Action.CUSTOMER_ERASE: {Role.ADMIN},
    Action.ALERT_LIST: set(Role) - {Role.PUBLISHABLE},
    Action.ALERT_ACKNOWLEDGE: {Role.ADMIN, Role.OPERATOR, Role.FINANCE},
    Action.ALERT_RAISE: set(),
    Action.ALERT_CLOSE: set(),
    Action.IDEMPOTENCY_KEY_PURGE: set(),
    Action.EVENT_PRUNE: set(),
    Action.API_KEY_CREATE: {Role.ADMIN},
    Action.API_KEY_LIST: {Role.ADMIN},
    Action.API_KEY_ROTATE: {Role.ADMIN},
    Action.API_KEY_REVOKE: {Role.ADMIN},
    Action.MERCHANT_CREATE: {Role.ADMIN},
    Action.MERCHANT_LIST: {Role.ADMIN},
    Action.INTENT_AUTHENTICATE: set(),
    Action.CUSTOMER_INTRODUCE: set(),
    Action.PROVIDER_EVENT_RECEIVE: set(),
    Action.PROVIDER_EVENT_APPLY: set(),
    Action.PROVIDER_ACCOUNT_PIN: set(),
    Action.RESTORE_DECLARE: {Role.ADMIN},
    Action.ALERT_SEND: set(),
    # Events, webhook endpoints, replays, reconcile.
    **{
        action: {Role.ADMIN, Role.OPERATOR, Role.FINANCE, Role.AUDITOR}
        for action in (
            *(Action.EVENT_READ, Action.EVENT_LIST),
            *(Action.WEBHOOK_ENDPOINT_READ, Action.WEBHOOK_ENDPOINT_LIST, Action.DELIVERY_LIST),
            *(Action.PROVIDER_EVENT_READ, Action.PROVIDER_EVENT_LIST),
            *(Action.RECONCILIATION_READ, Action.RECONCILIATION_LIST),
            Action.RECONCILIATION_FINDING_LIST,
            # Settlements, discrepancies, export.
            *(Action.SETTLEMENT_READ, Action.SETTLEMENT_LIST, Action.SETTLEMENT_LINE_LIST),
            *(Action.SETTLEMENT_IMPORT_READ, Action.DISCREPANCY_READ, Action.DISCREPANCY_LIST),
            Action.EXPORT,
        )
    },
    **{
        action: {Role.ADMIN, Role.FINANCE}
        for action in (
            *(Action.SETTLEMENT_LINE_MATCH, Action.SETTLEMENT_BANK_AMOUNT),
            *(
                Action.SETTLEMENT_IMPORT,
                Action.SETTLEMENT_IMPORT_WITHDRAW,
                Action.DISCREPANCY_RESOLVE,
            ),
        )
    },
    **{
        action: set()
        for action in (
            *(Action.SETTLEMENT_TAKE, Action.SETTLEMENT_READ_LINES, Action.SETTLEMENT_CONCLUDE),
            Action.SETTLEMENT_LINE_FIND,
            *(Action.SETTLEMENT_IMPORT_WORK, Action.DISCREPANCY_OPEN, Action.DISCREPANCY_HEAL),
        )
    },
    **{
        action: {Role.ADMIN, Role.OPERATOR}
        for action in (
            *(Action.WEBHOOK_ENDPOINT_CREATE, Action.WEBHOOK_ENDPOINT_UPDATE),
            *(Action.WEBHOOK_ENDPOINT_DELETE, Action.WEBHOOK_ENDPOINT_ROTATE),
            *(Action.DELIVERY_RESEND, Action.PROVIDER_EVENT_REPLAY, Action.RECONCILIATION_BEGIN),
        )
    },
    Action.PROVIDER_EVENT_READ_BODY: {Role.ADMIN, Role.AUDITOR},
    Action.WEBHOOK_ENDPOINT_WATCH: set(),
    Action.RECONCILE: set(),
    Action.REFUND_CREATE: {Role.ADMIN, Role.OPERATOR, Role.SUPPORT},
    Action.REFUND_APPROVE: {Role.ADMIN, Role.OPERATOR, Role.FINANCE},
    Action.REFUND_REJECT: {Role.ADMIN, Role.OPERATOR, Role.FINANCE},
    Action.REFUND_READ: set(Role) - {Role.PUBLISHABLE},
    Action.REFUND_LIST: set(Role) - {Role.PUBLISHABLE},
    Action.REFUND_RESOLVE: set(),
    Action.REFUND_EXPIRE: set(),
    Action.REFUND_RELEASE: set(),
    Action.DISPUTE_READ: set(Role) - {Role.PUBLISHABLE},
    Action.DISPUTE_LIST: set(Role) - {Role.PUBLISHABLE},
    Action.DISPUTE_STAGE: {Role.ADMIN, Role.OPERATOR},
    Action.DISPUTE_SUBMIT: {Role.ADMIN, Role.OPERATOR},
    Action.DISPUTE_ACCEPT: {Role.ADMIN, Role.OPERATOR},
    Action.DISPUTE_RESOLVE: set(),
    Action.DISPUTE_RECORD: set(),
    Action.DISPUTE_FOLLOW: set(),
}
"""The contract's table, written out a second time on purpose. A publishable key reads, pays and
confirms its own intent alone: `authenticate_client` sees to that.
"""


async def opened(world: World, text: str, keys: Authenticator | None = None) -> Caller:
    keys = keys or Authenticator(world.ctx)
    return await keys.caller(f"Bearer {text}", request_id="req_1", address="127.0.0.1")


async def is_refused(world: World, text: str) -> None:
    with pytest.raises(Refusal) as refused:
        await opened(world, text)
    assert refused.value.code is ErrorCode.API_KEY_INVALID
    assert str(refused.value) == "the API key is malformed, unknown, expired or revoked"


async def made(world: World, role: Role = Role.ADMIN) -> tuple[ApiKey, str]:
    key, secret = await create_api_key(world.ctx, world.caller, role=role, name="a key")
    return key, secret.reveal()


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_contract_says(role: Role, action: Action) -> None:
    assert set(ALLOWED) == set(MATRIX) == set(Action)
    caller = Caller(Actor("api_key", id="key_1", role=role), "default", "req_1")
    if role in ALLOWED[action]:
        authorize(caller, action)
    else:
        with pytest.raises(Refusal) as refused:
            authorize(caller, action)
        assert refused.value.code is ErrorCode.ROLE_NOT_ALLOWED


@pytest.mark.parametrize("action", list(Action))
def test_without_a_role_nothing_is_allowed(action: Action) -> None:
    with pytest.raises(Refusal):
        authorize(Caller(Actor("client"), "default", "req_1"), action)


@pytest.mark.parametrize("role", list(Role))
async def test_a_key_opens_as_what_it_was_made(world: World, role: Role) -> None:
    key, text = await made(world, role)
    assert text.startswith("pgw_test_pk_" if role is Role.PUBLISHABLE else "pgw_test_sk_")
    caller = await opened(world, text)
    assert caller == Caller(Actor("api_key", id=key.id, role=role), "default", "req_1", "127.0.0.1")
    assert text not in repr(await world.all(ApiKey))


async def test_a_key_speaks_for_its_own_merchant(world: World) -> None:
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    _, text = await made(world)
    assert (await opened(world, text)).merchant == "other"


async def test_a_key_of_the_other_mode_opens_nothing(world: World) -> None:
    world.provider.livemode = True
    _, text = await made(world)
    assert (await opened(world, text)).merchant == "default"
    world.provider.livemode = False
    await is_refused(world, text)


@pytest.mark.parametrize("side", list(KeySide))
async def test_a_key_of_the_other_side_opens_nothing(world: World, side: KeySide) -> None:
    """Its hash is right; that it was kept as the other side's key is enough."""
    text = new_api_key(KeyMode.TEST, side, new_id("api_key"), world.ctx.random_bytes).key.reveal()
    parsed = parse_api_key(text)
    for kept in ("sk", "pk"):
        key = ApiKey(
            id=parsed.key_id if kept != side else new_id("api_key"),
            merchant="default",
            name="crossed",
            role=Role.ADMIN,
            side=kept,
            livemode=False,
            hint="",
            secret_hash=world.ctx.hasher.of_api_key(parsed),
            created_at=START,
            updated_at=START,
        )
        await world.ctx.door.commit(Change(make_audit(), creates=(key,)))
    await is_refused(world, text)


async def test_a_key_ends_when_it_expires(world: World) -> None:
    """To the instant, remembered or not."""
    key, text = await made(world)
    expiring = msgspec.structs.replace(key, version=2, expires_at=START + timedelta(seconds=10))
    await world.ctx.door.commit(Change(make_audit(), advances=(expiring,)))
    keys = Authenticator(world.ctx)
    world.clock.forward(9.999)
    await opened(world, text, keys)
    world.clock.forward(0.001)
    with pytest.raises(Refusal) as refused:
        await opened(world, text, keys)
    assert refused.value.code is ErrorCode.API_KEY_INVALID
    await is_refused(world, text)


async def test_a_revoked_key_is_forgotten_within_a_second(world: World) -> None:
    key, text = await made(world)
    keys = Authenticator(world.ctx)
    await opened(world, text, keys)
    revoked = msgspec.structs.replace(key, version=2, revoked_at=START)
    await world.ctx.door.commit(Change(make_audit(), advances=(revoked,)))
    await is_refused(world, text)
    assert CACHE_SECONDS < 1
    await asyncio.sleep(CACHE_SECONDS)
    with pytest.raises(Refusal) as refused:
        await opened(world, text, keys)
    assert refused.value.code is ErrorCode.API_KEY_INVALID


async def test_what_is_no_key_of_ours_opens_nothing(world: World) -> None:
    key, text = await made(world)
    stranger = new_api_key(KeyMode.TEST, KeySide.SECRET, key.id, world.ctx.random_bytes)
    unknown = new_api_key(KeyMode.TEST, KeySide.SECRET, new_id("api_key"), world.ctx.random_bytes)
    for wrong in (
        "",
        "pgw_test_sk_",
        text[:-1],
        text + "x",
        text.swapcase(),
        text.replace("_sk_", "_pk_"),
        "\u00e9" * len(text),
        stranger.key.reveal(),
        unknown.key.reveal(),
    ):
        await is_refused(world, wrong)


@pytest.mark.parametrize("scheme", ["Basic", "", "Bearer2"])
async def test_only_the_bearer_scheme_is_taken(world: World, scheme: str) -> None:
    _, text = await made(world)
    with pytest.raises(Refusal) as refused:
        await Authenticator(world.ctx).caller(f"{scheme} {text}", request_id="req_1", address=None)
    assert refused.value.code is ErrorCode.API_KEY_INVALID


async def test_no_header_is_told_apart(world: World) -> None:
    with pytest.raises(Refusal) as refused:
        await Authenticator(world.ctx).caller(None, request_id="req_1", address=None)
    assert refused.value.code is ErrorCode.API_KEY_MISSING

"""`Paygate-Actor`: a person's own name, in any script, or a clear refusal."""

import pytest

from paygate.api.edge.actors import actor_name
from paygate.domain.access.roles import Role
from tests.api.edge.asgi import Headers, door_of
from tests.flows.world import World

NAMES = {
    "plain": ("ada@shop.example", b"ada@shop.example"),
    "Polish": ("Łukasz Żółć", "Łukasz Żółć".encode()),
    "Japanese": ("山田　太郎", "山田　太郎".encode()),
    "extended": ("Łukasz Żółć", b"UTF-8''%C5%81ukasz%20%C5%BB%c3%B3%C5%82%C4%87"),
    "extended, with a language": ("Zoë", b"utf-8'de'Zo%C3%AB"),
    "the longest": ("山" * 100, b"UTF-8''" + b"%E5%B1%B1" * 100),
    "a percent sign": ("100% Ada", b"100% Ada"),
    "quotes": ("O'Neill UTF-8''x", b"O'Neill UTF-8''x"),
}
NO_NAMES = {
    "nothing": b"",
    "latin-1": "José".encode("latin-1"),
    "Windows-1250": "Łukasz".encode("cp1250"),
    "half a character": "Ł".encode()[:1],
    "too long": b"x" * 101,
    "too long, extended": b"UTF-8''" + b"%E5%B1%B1" * 101,
    "endless": b"UTF-8''" + b"x" * 60_000,
    "a tab": b"a\tb",
    "a zero": b"UTF-8''a%00b",
    "a line": b"UTF-8''a%0D%0Ab",
    "a direction": "ada\u202e".encode(),
    "invisible": b"UTF-8''%E2%80%8B",
    "spaces alone": b"UTF-8''%20%E3%80%80",
    "extended latin-1": b"UTF-8''Jos%E9",
    "half an escape": b"UTF-8''Zo%C3%A",
    "not to be sent as it is": b"UTF-8''a b",
    "another character set": b"ISO-8859-1''Jos%E9" + b"\xe9",
}


@pytest.mark.parametrize(("name", "header"), NAMES.values(), ids=NAMES)
def test_a_name(name: str, header: bytes) -> None:
    assert actor_name(header.decode("latin-1")) == name


@pytest.mark.parametrize("header", NO_NAMES.values(), ids=NO_NAMES)
def test_no_name(header: bytes) -> None:
    assert actor_name(header.decode("latin-1")) is None


async def test_the_audit_log_has_the_name(world: World) -> None:
    async with door_of(world) as door:
        key, support = await door.key(), await door.key(Role.SUPPORT)
        before = len(await world.audited())
        for name, header in NAMES.values():
            headers: Headers = {"Authorization": key, "Paygate-Actor": header}
            assert (await door.call("GET", "/payment-intents", headers=headers)).status == 200
            headers["Authorization"] = support
            refused = await door.call("POST", "/payment-intents", b"{}", headers=headers)
            assert refused.code == "role_not_allowed"
            entries = (await world.audited())[before:]
            assert [entry.actor.name for entry in entries] == [name, name]
            before += 2


async def test_what_is_no_name_is_refused_and_written_nowhere(world: World) -> None:
    async with door_of(world) as door:
        key = await door.key()
        for header in NO_NAMES.values():
            headers: Headers = {"Authorization": key, "Paygate-Actor": header}
            answer = await door.call("GET", "/payment-intents", headers=headers)
            assert (answer.status, answer.code) == (400, "parameter_invalid")
            error = answer.json["error"]
            assert error["param"] == "Paygate-Actor"
            assert "UTF-8''" in error["message"], "the way out is told"
            entry = (await world.audited())[-1]
            assert (entry.actor.name, entry.details["code"]) == (None, "parameter_invalid")


@pytest.mark.parametrize(
    "header",
    [
        b"4242 4242 4242 4242",
        b"UTF-8''4242%204242%204242%204242",
        b"UTF-8''" + b"%EF%BC%94%EF%BC%92" * 8,
    ],
)
async def test_a_card_number_is_no_name_however_it_is_written(world: World, header: bytes) -> None:
    async with door_of(world) as door:
        headers: Headers = {"Authorization": await door.key(Role.SUPPORT), "Paygate-Actor": header}
        for method, path, code in (
            ("GET", "/payment-intents", "card_data_refused"),
            ("POST", "/payment-intents", "role_not_allowed"),
        ):
            assert (await door.call(method, path, b"{}", headers=headers)).code == code
        assert {entry.actor.name for entry in await world.audited()} == {None}

"""Every list's manners, shown on `/api-keys`: order, cursors, limits, and what a list leaves."""

import asyncio
from typing import Any

import pytest

from paygate.api.openapi import document
from paygate.api.pages import PageQuery
from paygate.api.routes import ENDPOINTS
from paygate.domain.audit import Result
from tests.api.shops import Shop, audited, open_shop
from tests.gateway import Gateway, Response

NOBODY = "key_" + "0" * 26


@pytest.fixture(scope="module")
async def shop(gateway: Gateway) -> Shop:
    """A merchant with 25 keys; nothing here makes another."""
    opened = await open_shop(gateway)
    for _ in range(24):
        await opened.made()
    return opened


@pytest.fixture(scope="module")
async def ids(shop: Shop) -> list[str]:
    """All of them, newest first."""
    return ids_of(await listed(shop, "?limit=100"))


async def listed(shop: Shop, query: str = "") -> Response:
    answer = await shop.call("GET", f"/api-keys{query}")
    assert answer.status == 200, answer
    return answer


def ids_of(answer: Response) -> list[str]:
    return [item["id"] for item in answer.json["data"]]


def more(answer: Response) -> bool:
    return bool(answer.json["has_more"])


async def test_newest_first_and_ten_at_a_time(shop: Shop, ids: list[str]) -> None:
    assert len(ids) == 25
    assert ids == sorted(ids, reverse=True)
    answer = await listed(shop)
    assert set(answer.json) == {"object", "data", "has_more", "url"}
    assert (answer.json["object"], answer.json["url"]) == ("list", "/api-keys")
    assert ids_of(answer) == ids[:10]
    assert more(answer)


@pytest.mark.parametrize("limit", [1, 3, 7, 24, 25, 26, 100])
async def test_pages_forward_are_the_whole_list(shop: Shop, ids: list[str], limit: int) -> None:
    seen: list[str] = []
    query = f"?limit={limit}"
    while True:
        answer = await listed(shop, query)
        seen += ids_of(answer)
        assert more(answer) == (len(seen) < len(ids))
        if not more(answer):
            break
        query = f"?limit={limit}&starting_after={seen[-1]}"
    assert seen == ids


@pytest.mark.parametrize("limit", [1, 4, 23, 24, 100])
async def test_pages_backward_are_the_whole_list(shop: Shop, ids: list[str], limit: int) -> None:
    """Each is the page just before, newest first itself."""
    seen = [ids[-1]]
    while True:
        answer = await listed(shop, f"?limit={limit}&ending_before={seen[0]}")
        seen = ids_of(answer) + seen
        if not more(answer):
            break
        assert len(ids_of(answer)) == limit
    assert seen == ids


async def test_the_ends_of_the_list(shop: Shop, ids: list[str]) -> None:
    for query in (f"?starting_after={ids[-1]}", f"?ending_before={ids[0]}"):
        answer = await listed(shop, query)
        assert (ids_of(answer), more(answer)) == ([], False)


async def test_a_cursor_is_a_place_whoever_stands_there(shop: Shop, ids: list[str]) -> None:
    """An id that was never made still sorts; a foreign one shows nothing of its owner."""
    assert ids_of(await listed(shop, f"?starting_after={NOBODY}")) == []
    assert ids_of(await listed(shop, f"?limit=2&ending_before={NOBODY}")) == ids[-2:]
    other = await open_shop(shop.gateway)
    assert ids_of(await listed(other, f"?limit=100&ending_before={ids[-1]}")) == [
        (await other.call("GET", "/api-keys")).json["data"][0]["id"]
    ]


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        (f"starting_after={NOBODY}&ending_before={NOBODY}", "parameter_invalid", "ending_before"),
        ("starting_after=key_x", "parameter_invalid", "starting_after"),
        ("ending_before=", "parameter_invalid", "ending_before"),
        ("starting_after=pi_" + "0" * 26, "parameter_invalid", "starting_after"),
        (f"starting_after={NOBODY.upper()}", "parameter_invalid", "starting_after"),
        (f"starting_after={NOBODY}%00", "parameter_invalid", "starting_after"),
        ("limit=0", "parameter_invalid", "limit"),
        ("limit=101", "parameter_invalid", "limit"),
        ("limit=ten", "parameter_invalid", "limit"),
        ("limit=1&limit=2", "parameter_invalid", "limit"),
        ("page=2", "parameter_unknown", "page"),
    ],
)
async def test_what_is_refused(shop: Shop, query: str, code: str, param: str | None) -> None:
    answer = await shop.call("GET", f"/api-keys?{query}")
    assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, code, param)
    (entry,) = (await audited(shop.gateway))[answer.headers["Request-Id"]]
    assert (entry.result, entry.details) == (Result.REFUSED, {"code": code})
    assert (entry.merchant, entry.subject) == (shop.merchant, None)


@pytest.mark.parametrize("query", ["", "limit=3", f"limit=2&ending_before={NOBODY}"])
async def test_a_list_leaves_one_entry_that_says_what_was_shown(shop: Shop, query: str) -> None:
    answer = await listed(shop, f"?{query}")
    (entry,) = (await audited(shop.gateway))[answer.headers["Request-Id"]]
    assert (entry.action, entry.result, entry.subject) == ("api_key.list", Result.ALLOWED, None)
    assert entry.details == {"query": query, "ids": ",".join(ids_of(answer))}
    assert entry.merchant == shop.merchant


async def test_a_page_stays_whole_while_others_write(shop: Shop) -> None:
    """What is made meanwhile comes before the first page: nothing is skipped or shown twice."""
    growing = await open_shop(shop.gateway)
    for _ in range(6):
        await growing.made()
    before = ids_of(await listed(growing, "?limit=100"))

    async def grow() -> None:
        for _ in range(6):
            await growing.made()

    writer = asyncio.create_task(grow())
    seen: list[str] = []
    query = "?limit=2"
    while True:
        answer = await listed(growing, query)
        seen += ids_of(answer)
        if not more(answer):
            break
        query = f"?limit=2&starting_after={seen[-1]}"
    await writer
    assert seen == sorted(set(seen), reverse=True)
    assert [i for i in seen if i in before] == before


def test_the_document_lists_the_parameters() -> None:
    paths: dict[str, Any] = document()["paths"]
    paged = [e for e in ENDPOINTS if e.query is not None and issubclass(e.query, PageQuery)]
    assert paged
    for endpoint in paged:
        parameters = paths[endpoint.path]["get"]["parameters"]
        found = {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}
        assert found["limit"]["maximum"] == 100
        assert found["limit"]["default"] == 10
        assert found["starting_after"]["type"] == found["ending_before"]["type"] == "string"
        assert not any(p["required"] for p in parameters if p["in"] == "query")

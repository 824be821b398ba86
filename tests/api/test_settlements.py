"""`/settlements` and `/discrepancies`: what is refused. What they show of payouts that there are is
in `tests/payments/test_settled.py`.
"""

from typing import Any

import pytest

from tests.api.shops import open_shop
from tests.gateway import Gateway

ST, SL, DC = ("st_" + "0" * 26, "sl_" + "0" * 26, "dc_" + "0" * 26)
RESOLVE = {"action": "resolve", "reason": "known"}


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/settlements?status=lost", "status"),
        ("/settlements?matching=perhaps", "matching"),
        ("/settlements?limit=0", "limit"),
        ("/settlements?starting_after=pi_1", "starting_after"),
        (f"/settlements/{ST}/lines?limit=101", "limit"),
        (f"/settlements/{ST}/lines?state=lost", "state"),
        (f"/settlements/{ST}/lines?category=lunar_fee", "category"),
        ("/discrepancies?kind=odd", "kind"),
        ("/discrepancies?status=closed", "status"),
        (f"/discrepancies?ending_before={DC}&starting_after={DC}", "ending_before"),
    ],
)
async def test_a_query_that_means_nothing(gateway: Gateway, path: str, param: str) -> None:
    answer = await gateway.call("GET", path)
    assert (answer.status, answer.code) == (400, "parameter_invalid"), answer
    assert answer.json["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"/settlements/{ST}", {}, "parameter_missing"),
        (f"/settlements/{ST}", {"bank_amount": "982.13"}, "parameter_invalid"),
        (f"/settlements/{ST}", {"bank_amount": 982.13}, "parameter_invalid"),
        (f"/settlements/{ST}", {"bank_amount": 2**53}, "parameter_invalid"),
        (f"/settlements/{ST}", {"bank_amount": 1, "amount": 1}, "parameter_unknown"),
        (f"/settlements/{ST}/lines/{SL}/match", {}, "parameter_missing"),
        (f"/settlements/{ST}/lines/{SL}/match", {"candidate": 5}, "parameter_invalid"),
        (f"/discrepancies/{DC}/resolve", {"action": "resolve"}, "parameter_missing"),
        (f"/discrepancies/{DC}/resolve", {"action": "resolve", "reason": ""}, "parameter_invalid"),
        (f"/discrepancies/{DC}/resolve", {"action": "open", "reason": "x"}, "parameter_invalid"),
    ],
)
async def test_a_body_that_means_nothing(
    gateway: Gateway, path: str, body: dict[str, Any], code: str
) -> None:
    answer = await gateway.call("POST", path, body)
    assert (answer.status, answer.code) == (400, code), answer


async def test_what_nobody_has_is_not_there(gateway: Gateway) -> None:
    for method, path, body in (
        ("GET", f"/settlements/{ST}", None),
        ("GET", f"/settlements/{ST}/lines", None),
        ("GET", "/settlements/st_1", None),
        ("POST", f"/settlements/{ST}", {"bank_amount": 1}),
        ("POST", f"/settlements/{ST}/lines/{SL}/match", {"candidate": None}),
        ("GET", f"/discrepancies/{DC}", None),
        ("POST", f"/discrepancies/{DC}/resolve", RESOLVE),
    ):
        answer = await gateway.call(method, path, body)
        assert (answer.status, answer.code) == (404, "resource_missing"), answer


async def test_another_merchants_lists_are_empty(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    for path in ("/settlements", "/discrepancies"):
        listed = await shop.call("GET", f"{path}?limit=100")
        assert (listed.status, listed.json["data"], listed.json["has_more"]) == (200, [], False)

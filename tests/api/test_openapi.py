"""The document and the server are made from one list; here they are held to each other."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from paygate.api.edge.browser_pages import NOTHING_HERE
from paygate.api.edge.errors import STATUS
from paygate.api.openapi import document
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import MATRIX, Role
from paygate.domain.errors import CATALOGUE, ErrorCode
from tests.gateway import Gateway


async def test_the_served_document_is_this_one(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/openapi.json", key=None)
    assert answer.status == 200
    assert answer.json == msgspec.json.decode(msgspec.json.encode(document()))


def test_every_reference_resolves() -> None:
    made = document()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                name = node["$ref"].removeprefix("#/components/schemas/")
                assert name in made["components"]["schemas"]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(made)
    assert set(made["paths"]) == {e.path for e in ENDPOINTS}


def test_what_a_browser_is_answered_is_described() -> None:
    for method in ("get", "post"):
        operation = document()["paths"]["/payment-intents/{id}/3ds-callback"][method]
        assert set(operation["responses"]) == {"303", "default"}
        assert [(p["name"], p["required"]) for p in operation["parameters"]] == [
            ("id", True),
            ("state", True),
        ]
        assert "security" not in operation


def test_a_body_is_required_where_a_field_of_it_is() -> None:
    paths = document()["paths"]
    assert paths["/api-keys"]["post"]["requestBody"]["required"]
    assert not paths["/api-keys/{id}/rotate"]["post"]["requestBody"]["required"]


def structs_of(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a field's value may be."""
    info = inspect.type_info(annotation)
    if isinstance(info, inspect.Metadata):
        info = info.type
    for option in info.types if isinstance(info, inspect.UnionType) else (info,):
        if isinstance(option, inspect.StructType):
            yield option.cls


def bodies() -> set[type[msgspec.Struct]]:
    """What is sent to any endpoint, and what is nested in that."""
    found: set[type[msgspec.Struct]] = set()
    todo = [endpoint.body for endpoint in ENDPOINTS if endpoint.body is not None]
    while todo:
        body = todo.pop()
        if body not in found:
            found.add(body)
            for field in msgspec.structs.fields(body):
                todo += structs_of(field.type)
    return found


@pytest.mark.parametrize("body", sorted(bodies(), key=repr), ids=lambda body: body.__name__)
def test_every_field_of_a_body_has_a_description_and_an_example(
    body: type[msgspec.Struct],
) -> None:
    served = msgspec.json.decode(msgspec.json.encode(document()))
    schema = served["components"]["schemas"][body.__name__]
    for field in msgspec.structs.fields(body):
        shown = schema["properties"][field.encode_name]
        assert shown["description"].endswith("."), field.name
        (example,) = shown["examples"]
        msgspec.convert(example, field.type)  # what is shown can be sent


async def test_the_docs_page_names_every_code_and_route(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/docs", key=None)
    text = answer.body.decode()
    assert all(f'id="{code}"' in text for code in CATALOGUE)
    assert all(endpoint.path in text for endpoint in ENDPOINTS)
    assert "<script" not in text


def test_every_code_is_catalogued_and_has_a_status() -> None:
    assert set(CATALOGUE) == set(ErrorCode) == set(STATUS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
async def test_no_route_is_open_by_accident(gateway: Gateway, endpoint: Any) -> None:
    """Without a key only the probes and the signed door answer, and the door asks for more."""
    path = endpoint.path.replace("{id}", "pi_" + "0" * 26)
    answer = await gateway.call(endpoint.method, path, {}, key=None)
    if endpoint.action is None:
        assert endpoint.path in {"/healthz", "/readyz"}
        assert answer.status == 200
    elif endpoint.browser:
        assert (answer.status, answer.body) == (400, NOTHING_HERE)
    elif endpoint.raw:
        assert (answer.status, answer.code) == (400, "signature_invalid")
    else:
        assert (answer.status, answer.code) == (401, "api_key_missing")
        assert Role.ADMIN in MATRIX[endpoint.action]

"""The OpenAPI 3.1 document, made from the endpoints and the types that they really use."""

import re
from typing import Any, Final

import msgspec

from paygate import __version__
from paygate.api.endpoint import JSON, Endpoint
from paygate.api.errors import STATUS, ErrorAnswer
from paygate.api.routes import ENDPOINTS
from paygate.domain.access import MATRIX
from paygate.domain.errors import CATALOGUE

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


def document() -> dict[str, Any]:
    """The whole document."""
    types: list[type] = [ErrorAnswer]
    types += [e.body for e in ENDPOINTS if e.body is not None]
    types += [e.answer for e in ENDPOINTS]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "paygate",
            "version": __version__,
            "description": "A self-hosted payment gateway. Money is an integer of the currency's"
            " smallest unit; times are ISO 8601 UTC. Error codes:\n\n"
            + "\n".join(
                f"- `{code}` ({STATUS[code]}): {entry.meaning}" for code, entry in CATALOGUE.items()
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{endpoint.path}",
        "responses": {
            str(endpoint.status): _content("The answer.", endpoint.answer),
            "default": _content("Refused; nothing was done.", ErrorAnswer),
        },
    }
    if names := _PARAMETER.findall(endpoint.path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, **_content("", endpoint.body)}
        del operation["requestBody"]["description"]
    if endpoint.action is not None and not endpoint.raw:
        operation["security"] = [{"api_key": []}]
        operation["x-roles"] = sorted(MATRIX[endpoint.action])
    return operation


def _content(description: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {JSON: {"schema": schema}}}

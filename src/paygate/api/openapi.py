"""The OpenAPI 3.1 document, made from the endpoints and the types that they really use."""

import re
from typing import Any, Final

import msgspec

from paygate import __version__
from paygate.api.edge.bodies import requires
from paygate.api.edge.endpoint import JSON, MULTIPART, Endpoint, FormShape
from paygate.api.edge.errors import STATUS, ErrorResponse
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import MATRIX
from paygate.domain.errors import CATALOGUE
from paygate.domain.idempotency import KEY_LENGTH
from paygate.domain.ids import ALPHABET, BODY_LENGTH

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_ID: Final = {"type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"}
"""Any text but control characters: an id that could be none is unknown, as any other is."""
_CURSOR: Final = {"type": "string", "pattern": f"^[a-z]+_[{ALPHABET}]{{{BODY_LENGTH}}}$"}
_CURSORS: Final = frozenset({"starting_after", "ending_before"})


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


_IDEMPOTENCY_KEY: Final = _header(
    "Idempotency-Key",
    "Makes a repeated request safe: it gets the first one's answer.",
    minLength=1,
    maxLength=KEY_LENGTH,
)
_SIGNATURE: Final = _header("Stripe-Signature", "The provider's signature.") | {"required": True}
_CLIENT_SIDE: Final = [
    _header("Paygate-Client-Secret", "With a publishable key: the payment intent's secret."),
    _header("Paygate-Session", "With a publishable key: the intent's session, if it has one."),
]


_ON: Final = {
    "303": {
        "description": "The way on.",
        "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
    },
    "default": {
        "description": "Refused; the page does not say why.",
        "content": {"text/html": {"schema": {"type": "string"}}},
    },
}
"""What a payer's browser is answered."""


def document() -> dict[str, Any]:
    """The whole document."""
    types: list[type] = [ErrorResponse]
    types += [e.body for e in ENDPOINTS if e.body is not None]
    types += [e.response for e in ENDPOINTS if e.response is not None]
    types += [e.public_response for e in ENDPOINTS if e.public_response is not None]
    queries = [e.query for e in ENDPOINTS if e.query is not None]
    types += queries
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        operation = _operation(endpoint)
        if parameters := _parameters(endpoint, components):
            operation["parameters"] = parameters
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    for query in set(queries):
        del components[query.__name__]  # its fields stand as parameters
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
        "responses": _ON if endpoint.browser else _responses(endpoint),
    }
    if endpoint.takes_key:
        operation["responses"]["200"] = _content("Answered before.", *_bodies(endpoint))
    if endpoint.body is not None:
        required = requires(endpoint.body)
        operation["requestBody"] = {"required": required, **_content("", endpoint.body)}
        del operation["requestBody"]["description"]
        if endpoint.form is not None:
            operation["requestBody"]["content"][MULTIPART] = {"schema": _form(endpoint.form)}
    if endpoint.action is not None and not endpoint.raw:
        operation["security"] = [{"api_key": []}]
        operation["x-roles"] = sorted(MATRIX[endpoint.action])
    return operation


def _form(form: FormShape) -> dict[str, Any]:
    """The schema of a multipart body."""
    file = {"type": "string", "format": "binary"}
    text = {"type": "string"}  # what stands beside a streamed part says how that is read
    parts = {name: file if form.streamed in (None, name) else text for name in sorted(form.parts)}
    return {"type": "object", "properties": parts}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    return {
        str(endpoint.status): _content("The answer.", *_bodies(endpoint)),
        "default": _content("Refused; nothing was done.", ErrorResponse),
    }


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _ID}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        schema = components[endpoint.query.__name__]
        for name, field in schema["properties"].items():
            required = name in schema["required"]
            shape = _present(field) | (_CURSOR if name in _CURSORS else {})
            found.append({"name": name, "in": "query", "required": required, "schema": shape})
    if endpoint.takes_key:
        found.append(_IDEMPOTENCY_KEY)
    if endpoint.raw and not endpoint.browser:
        found.append(_SIGNATURE)
    if endpoint.public_response is not None:
        found += _CLIENT_SIDE
    return found


def _present(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of an optional field when it is given: a query string has no null."""
    options: list[dict[str, Any]] = [
        option for option in field.get("anyOf", ()) if option != {"type": "null"}
    ]
    if len(options) != 1:
        return field
    return {k: v for k, v in field.items() if k not in ("anyOf", "default")} | options[0]


def _bodies(endpoint: Endpoint) -> list[type[msgspec.Struct]]:
    """The bodies of its responses: to a server, and to a payer's browser."""
    return [kind for kind in (endpoint.response, endpoint.public_response) if kind is not None]


def _content(description: str, *kinds: type[msgspec.Struct]) -> dict[str, Any]:
    refs = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds]
    schema: dict[str, Any] = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"description": description, "content": {JSON: {"schema": schema}}}

"""`/openapi.json` and `/docs`: a page without scripts, made from the same document.

Both are made once: whoever asks has no key, and is not counted.
"""

import html
from functools import cache
from typing import Any, Final

import msgspec

from paygate.api.edge.browser_pages import HTML
from paygate.api.edge.endpoint import ApiContext, Endpoint, Reply
from paygate.api.edge.errors import STATUS
from paygate.api.edge.exchange import Exchange
from paygate.api.openapi import document
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import MATRIX, Role
from paygate.domain.errors import CATALOGUE

Row = tuple[object, ...]

_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@cache
def openapi_json() -> Reply:
    """The document for machines."""
    return Reply(200, msgspec.json.encode(document()))


@cache
def docs_page() -> Reply:
    """The document for people."""
    return Reply(200, page().encode(), _HEADERS, HTML)


async def _openapi_json(_: ApiContext, __: Exchange, ___: Any) -> Reply:
    return openapi_json()


async def _docs_page(_: ApiContext, __: Exchange, ___: Any) -> Reply:
    return docs_page()


async def _root(_: ApiContext, __: Exchange, ___: Any) -> Reply:
    return Reply(303, b"", {"Location": "/docs"}, "text/plain")


DOCUMENTS: Final = (
    Endpoint(method="GET", path="/", summary="The way to the docs.", handle=_root),
    Endpoint(
        method="GET", path="/openapi.json", summary="This API for machines.", handle=_openapi_json
    ),
    Endpoint(method="GET", path="/docs", summary="This API for people.", handle=_docs_page),
)
"""Served beside the endpoints that they describe."""


def page() -> str:
    """Endpoints, roles and error codes as three tables."""
    endpoints: list[Row] = [(e.method, e.path, e.summary) for e in ENDPOINTS]
    roles: list[Row] = [
        (action, *("x" if role in allowed else "" for role in Role))
        for action, allowed in MATRIX.items()
        if allowed
    ]
    errors: list[Row] = [
        (code, STATUS[code], "yes" if entry.retriable else "", entry.meaning)
        for code, entry in CATALOGUE.items()
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>paygate API</title>"
        "<style>body{font:15px/1.5 system-ui;max-width:64rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;"
        "padding:.3rem .6rem;text-align:left;vertical-align:top}code{white-space:nowrap}"
        ":target{background:#ffc}</style><h1>paygate API</h1>"
        "<p>The machine-readable document is <a href=/openapi.json>openapi.json</a>.</p>"
        "<h2>Endpoints</h2>"
        + _table(("Method", "Path", ""), endpoints)
        + "<h2>Roles</h2>"
        + _table(("Action", *Role), roles)
        + "<h2 id=errors>Errors</h2>"
        + _table(("Code", "Status", "Retry", "Meaning"), errors)
        + "</html>"
    )


def _table(head: Row, rows: list[Row]) -> str:
    cells = "".join(f"<th>{html.escape(str(name))}" for name in head)
    body = "".join(
        f'<tr id="{html.escape(str(row[0]))}">'
        + "".join(f"<td>{html.escape(str(cell))}" for cell in row)
        for row in rows
    )
    return f"<table><tr>{cells}{body}</table>"

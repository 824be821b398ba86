"""`/api-keys`: create, list, rotate, revoke. A key's text is in the answer that made it, once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import ApiKeyObject, api_key_object
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Role
from paygate.flows.access.create_api_key import NewApiKey, create_api_key
from paygate.flows.access.read_api_keys import Uses, list_api_keys
from paygate.flows.access.revoke_api_key import Revoked, revoke_api_key
from paygate.flows.access.rotate_api_key import rotate_api_key

PATH = "/api-keys"


class NewApiKeyObject(ApiKeyObject, frozen=True, kw_only=True):
    """An API key just made. `key` is shown here and never again."""

    key: str


class ApiKeyList(ListObject[ApiKeyObject], frozen=True, kw_only=True):
    """A page of API keys."""


class CreateApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api-keys`. The role `publishable` makes a key that browsers may see."""

    role: Annotated[Role, about("What the key may do.", Role.OPERATOR)]
    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None,
        about("For people: whose key it is.", "checkout"),
    ] = None
    expires_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        about(
            "ISO 8601 with an offset, within ten years; left out, it has no end.",
            "2027-06-30T00:00:00Z",
        ),
    ] = None


class RotateApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api-keys/{id}/rotate`."""

    overlap: Annotated[
        str, about("For how long the old key opens beside the new one: 0s to 7d.", "1h")
    ] = "24h"


class RevokeApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api-keys/{id}/revoke`: nothing, or an empty object."""


def new_api_key_object(made: NewApiKey) -> NewApiKeyObject:
    """A key just made, with its text."""
    shown = api_key_object(made.key, None)
    return NewApiKeyObject(**msgspec.structs.asdict(shown), key=made.text.reveal())


def api_key_list(keys: Iterable[ApiKey], uses: Uses, *, has_more: bool) -> ApiKeyList:
    """A page of keys as clients see it."""
    data = tuple(api_key_object(key, uses.get(key.id)) for key in keys)
    return ApiKeyList(data=data, has_more=has_more, url=PATH)


async def _create(api: ApiContext, exchange: Exchange, body: CreateApiKey) -> NewApiKey:
    return await create_api_key(api.ctx, exchange.known_caller, **msgspec.structs.asdict(body))


async def _list(api: ApiContext, exchange: Exchange, query: PageQuery) -> ApiKeyList:
    cut = cut_of(query, "api_key")
    page, uses = await list_api_keys(api.ctx, exchange.known_caller, cut, exchange.query)
    return api_key_list(page.items, uses, has_more=page.has_more)


async def _rotate(api: ApiContext, exchange: Exchange, body: RotateApiKey) -> NewApiKey:
    caller, key_id = exchange.known_caller, exchange.path["id"]
    return await rotate_api_key(api.ctx, caller, key_id, overlap=body.overlap)


async def _revoke(api: ApiContext, exchange: Exchange, _: RevokeApiKey) -> Revoked:
    return await revoke_api_key(api.ctx, exchange.known_caller, exchange.path["id"])


def _show_new(_: Exchange, made: NewApiKey) -> NewApiKeyObject:
    return new_api_key_object(made)


def _show_revoked(_: Exchange, revoked: Revoked) -> ApiKeyObject:
    return api_key_object(*revoked)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=PATH,
        summary="Create an API key. The answer alone has its text.",
        action=Action.API_KEY_CREATE,
        body=CreateApiKey,
        response=NewApiKeyObject,
        status=201,
        handle=_create,
        show=_show_new,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List the merchant's API keys, revoked and expired ones too.",
        action=Action.API_KEY_LIST,
        query=PageQuery,
        response=ApiKeyList,
        handle=_list,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/rotate",
        summary="Make a key like this one, which itself ends after `overlap` (0s to 7d).",
        action=Action.API_KEY_ROTATE,
        body=RotateApiKey,
        response=NewApiKeyObject,
        status=201,
        handle=_rotate,
        show=_show_new,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/revoke",
        summary="Revoke an API key, within a second and for good.",
        action=Action.API_KEY_REVOKE,
        body=RevokeApiKey,
        response=ApiKeyObject,
        handle=_revoke,
        show=_show_revoked,
    ),
)

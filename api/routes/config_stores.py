"""Config stores of a control plane, and the secrets in them. A secret's value is taken and never shown.

Source: Konnect Control Planes Configuration API v2 (shapes and statuses).
"""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import Instant, RequestBody, ResponseBody
from api.query import bad_cursor, cursor_listing, cursor_parameters, next_page
from core.control_planes.config_stores import LONGEST_KEY, ConfigStoreService
from core.errors import InvalidInput, Violation

router = token_router(prefix="/v2/control-planes/{control_plane_id}/config-stores", tag="control-planes")

_FORCE: Any = {
    "name": "force",
    "in": "query",
    "required": False,
    "description": "`true`: together with the secrets in it.",
    "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
}


class ConfigStoreRequest(RequestBody):
    """A config store as it is to be."""

    name: str | None = Field(default=None, min_length=1, max_length=100)


class ConfigStore(ResponseBody):
    """A place for secrets that vaults of the backend `konnect` name by its id."""

    id: UUID
    name: str | None
    created_at: Instant
    updated_at: Instant


class SecretValue(RequestBody):
    """What is to be kept."""

    value: str = Field(min_length=1, max_length=5120, json_schema_extra={"writeOnly": True})


class NewSecret(SecretValue):
    """A secret and the key that it is found by."""

    key: str = Field(min_length=1, max_length=LONGEST_KEY)


class ConfigStoreSecret(ResponseBody):
    """A secret, without its value."""

    key: str
    created_at: Instant
    updated_at: Instant


class TwoWayPage(BaseModel):
    """Which part of a list this is."""

    first: str = Field(description="Path of the first part.")
    next: str | None = Field(description="Path of the part that follows; null on the last one.")
    previous: str | None = Field(description="Null: these lists go forward.")
    size: int = Field(description="Items per page, as asked for.")


class TwoWayMeta(BaseModel):
    """Paging of lists that say where they begin."""

    page: TwoWayPage


class ConfigStores(ResponseBody):
    """A part of a control plane's config stores."""

    meta: TwoWayMeta
    data: list[ConfigStore]


class ConfigStoreSecrets(ResponseBody):
    """A part of the secrets in a config store."""

    meta: TwoWayMeta
    data: list[ConfigStoreSecret]


async def _service(
    control_plane_id: UUID, caller: Caller, session: TenantDb, services: ServicesDep
) -> ConfigStoreService:
    return ConfigStoreService(session, services.keyring, caller, services.clock, control_plane_id)


Service = Annotated[ConfigStoreService, Depends(_service, scope="function")]


@router.get(
    "",
    operation_id="list-config-stores",
    response_model=ConfigStores,
    openapi_extra={"parameters": cursor_parameters()},
)
def list_stores(request: Request, service: Service) -> Any:
    """The config stores of a control plane, oldest first."""
    listing = cursor_listing(request.query_params)
    found, more = service.page(listing.size, _place(listing.after))
    last = f"{found[-1].created_at.isoformat()} {found[-1].id}" if found and more else None
    return {"meta": _meta(request, listing.size, last), "data": found}


@router.post("", operation_id="create-config-store", status_code=201, response_model=ConfigStore)
def create_store(body: ConfigStoreRequest, service: Service) -> Any:
    """Make a config store."""
    return service.create(body.name)


@router.get("/{config_store_id}", operation_id="get-config-store", response_model=ConfigStore)
def get_store(config_store_id: UUID, service: Service) -> Any:
    """One config store."""
    return service.get(config_store_id)


@router.put("/{config_store_id}", operation_id="update-config-store", response_model=ConfigStore)
def replace_store(config_store_id: UUID, body: ConfigStoreRequest, service: Service) -> Any:
    """Give a config store another name."""
    return service.rename(config_store_id, body.name)


@router.delete(
    "/{config_store_id}",
    operation_id="delete-config-store",
    status_code=204,
    openapi_extra={"parameters": [_FORCE]},
)
def delete_store(request: Request, config_store_id: UUID, service: Service) -> None:
    """Remove a config store, which must be empty unless `force` says otherwise."""
    force = request.query_params.get("force") or "false"
    if force not in ("true", "false"):
        raise InvalidInput([Violation("force", "must be true or false", "enum", "query", choices=("true", "false"))])
    service.delete(config_store_id, force=force == "true")


@router.get(
    "/{config_store_id}/secrets",
    operation_id="list-config-store-secrets",
    response_model=ConfigStoreSecrets,
    openapi_extra={"parameters": cursor_parameters()},
)
def list_secrets(request: Request, config_store_id: UUID, service: Service) -> Any:
    """The keys of the secrets in a config store, in their order."""
    listing = cursor_listing(request.query_params)
    if "\0" in listing.after:
        raise bad_cursor()
    found, more = service.secrets(config_store_id, listing.size, listing.after)
    return {"meta": _meta(request, listing.size, found[-1].key if found and more else None), "data": found}


@router.post(
    "/{config_store_id}/secrets",
    operation_id="create-config-store-secret",
    status_code=201,
    response_model=ConfigStoreSecret,
)
def create_secret(config_store_id: UUID, body: NewSecret, service: Service) -> Any:
    """Put a secret into a config store."""
    return service.create_secret(config_store_id, body.key, body.value)


# Keys may have slashes, which clients send as %2F and servers read as what they stand for.
@router.get(
    "/{config_store_id}/secrets/{key:path}",
    operation_id="get-config-store-secret",
    response_model=ConfigStoreSecret,
)
def get_secret(config_store_id: UUID, key: str, service: Service) -> Any:
    """Whether there is a secret of this key, and since when."""
    return service.secret(config_store_id, key)


@router.put(
    "/{config_store_id}/secrets/{key:path}",
    operation_id="update-config-store-secret",
    response_model=ConfigStoreSecret,
    responses={201: {"model": ConfigStoreSecret, "description": "It was not there before."}},
)
def put_secret(config_store_id: UUID, key: str, body: SecretValue, service: Service, response: Response) -> Any:
    """Have this value under a key, whether there was one or not."""
    secret, is_new = service.put_secret(config_store_id, key, body.value)
    if is_new:
        response.status_code = 201
    return secret


@router.delete("/{config_store_id}/secrets/{key:path}", operation_id="delete-config-store-secret", status_code=204)
def delete_secret(config_store_id: UUID, key: str, service: Service) -> None:
    """Remove a secret."""
    service.delete_secret(config_store_id, key)


def _place(after: str) -> tuple[datetime, UUID] | None:
    if not after:
        return None
    moment, _, identifier = after.partition(" ")
    try:
        found = datetime.fromisoformat(moment), UUID(identifier)
    except ValueError:
        raise bad_cursor() from None
    if found[0].tzinfo is None:
        raise bad_cursor()
    return found


def _meta(request: Request, size: int, last: str | None) -> TwoWayMeta:
    path, query = request.url.path, request.query_params
    kept = urlencode([(name, value) for name, value in query.multi_items() if name != "page[after]"], safe="[]")
    following = None if last is None else next_page(path, query, last)
    return TwoWayMeta(
        page=TwoWayPage(first=f"{path}?{kept}" if kept else path, next=following, previous=None, size=size)
    )

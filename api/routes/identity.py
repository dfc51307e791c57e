"""Who the caller is, and their personal access tokens.

Source: Konnect Identity API v3 (shapes, statuses and limits).
"""

from datetime import timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import Instant, InstantInput, PageMeta, RequestBody, ResponseBody, example
from core.clock import Clock
from core.iam.service import IdentityService, TokenState, state_of
from core.models.access_token import AccessToken

router = token_router(tag="identity")

_INNER = frozenset(" _-.'")


def _token_name(name: str) -> str:
    ends_well = name[:1].isalnum() and name[-1:].isalnum()
    if not ends_well or not all(character.isalnum() or character in _INNER for character in name):
        raise PydanticCustomError(
            "violation",
            "{reason}",
            {
                "rule": "matches_regex",
                "reason": "must start and end with a letter or digit; between them also spaces and _ - . '",
            },
        )
    return name


TokenName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_token_name)]


class Organization(ResponseBody):
    """The caller's organization."""

    id: UUID
    name: str
    owner_id: UUID | None
    login_path: str
    state: str
    retention_period_days: int = Field(description="Days that an inactive organization is kept.")
    created_at: Instant
    updated_at: Instant


class User(ResponseBody):
    """The caller."""

    id: UUID
    email: str
    full_name: str
    preferred_name: str
    active: bool
    inferred_region: str | None = None
    created_at: Instant
    updated_at: Instant


class PersonalAccessTokenCreate(RequestBody):
    """A wish for a token; its end is given as a moment or as a duration."""

    model_config = example(name="deployment", ttl_seconds=2_592_000)

    name: TokenName
    expires_at: InstantInput | None = Field(None, description="When it ends; at most 12 months away.")
    ttl_seconds: int | None = Field(None, ge=86400, le=31536000, description="How long it lives, in seconds.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.expires_at is None) == (self.ttl_seconds is None):
            raise PydanticCustomError(
                "violation",
                "{reason}",
                {"rule": "required", "reason": "needs exactly one of expires_at and ttl_seconds"},
            )
        return self


class PersonalAccessTokenRename(RequestBody):
    """A new name."""

    name: TokenName


class PersonalAccessToken(ResponseBody):
    """A token as it can be shown: everything but the token."""

    id: UUID
    user_id: UUID
    name: str
    state: TokenState
    expires_at: Instant
    last_used_at: Instant | None
    revoked_at: Instant | None
    revoked_by: UUID | None
    created_at: Instant
    updated_at: Instant


class PersonalAccessTokenCreated(PersonalAccessToken):
    """The only answer that holds the token itself."""

    konnect_token: str = Field(description="The token. It is not stored and cannot be shown again.")


class PersonalAccessTokens(ResponseBody):
    """All tokens of a user."""

    meta: PageMeta
    data: list[PersonalAccessToken]


async def _identity(caller: Caller, session: TenantDb, services: ServicesDep) -> IdentityService:
    return IdentityService(session, caller, services.keyring, services.clock, services.authenticator)


Identity = Annotated[IdentityService, Depends(_identity, scope="function")]


@router.get("/v3/organizations/me", operation_id="get-organizations-me", response_model=Organization)
@router.get("/v2/organizations/me", operation_id="get-organizations-me-v2", response_model=Organization)
def get_organization(identity: Identity) -> Any:
    """The organization that the token belongs to."""
    return identity.organization()


@router.get("/v3/users/me", operation_id="get-users-me", response_model=User, response_model_exclude_none=True)
def get_user(identity: Identity) -> Any:
    """The user that the token belongs to."""
    return identity.me()


@router.get(
    "/v3/users/{user_id}/access-tokens",
    operation_id="list-users-personal-access-tokens",
    response_model=PersonalAccessTokens,
)
def list_tokens(user_id: UUID, identity: Identity, services: ServicesDep) -> Any:
    """All personal access tokens of a user, oldest first, on one page."""
    rows = identity.list_tokens(user_id)
    data = [_shown(row, services.clock) for row in rows]
    return {"meta": PageMeta(number=1, size=len(data), total=len(data)), "data": data}


@router.post(
    "/v3/users/{user_id}/access-tokens",
    operation_id="create-personal-access-token",
    status_code=201,
    response_model=PersonalAccessTokenCreated,
)
def create_token(user_id: UUID, body: PersonalAccessTokenCreate, identity: Identity, services: ServicesDep) -> Any:
    """Make a personal access token. A user has at most 10; the answer is the only one that shows the token."""
    expires_at = body.expires_at or services.clock.now() + timedelta(seconds=body.ttl_seconds or 0)
    created = identity.create_token(user_id, body.name, expires_at)
    return _shown(created.row, services.clock) | {"konnect_token": created.token}


@router.get(
    "/v3/users/{user_id}/access-tokens/{token_id}",
    operation_id="get-personal-access-token-details",
    response_model=PersonalAccessToken,
)
def get_token(user_id: UUID, token_id: UUID, identity: Identity, services: ServicesDep) -> Any:
    """One personal access token."""
    return _shown(identity.token(user_id, token_id), services.clock)


@router.patch(
    "/v3/users/{user_id}/access-tokens/{token_id}",
    operation_id="update-personal-access-token-details",
    response_model=PersonalAccessToken,
)
def rename_token(
    user_id: UUID, token_id: UUID, body: PersonalAccessTokenRename, identity: Identity, services: ServicesDep
) -> Any:
    """Give a personal access token another name."""
    return _shown(identity.rename_token(user_id, token_id, body.name), services.clock)


@router.patch(
    "/v3/users/{user_id}/access-tokens/{token_id}/revoke",
    operation_id="revoke-personal-access-token",
    response_model=PersonalAccessToken,
)
def revoke_token(user_id: UUID, token_id: UUID, identity: Identity, services: ServicesDep) -> Any:
    """End a personal access token for good; it is refused from the next request on."""
    return _shown(identity.revoke_token(user_id, token_id), services.clock)


@router.delete(
    "/v3/users/{user_id}/access-tokens/{token_id}", operation_id="delete-personal-access-token", status_code=204
)
def delete_token(user_id: UUID, token_id: UUID, identity: Identity) -> None:
    """Remove a personal access token; it is refused from the next request on."""
    identity.delete_token(user_id, token_id)


def _shown(row: AccessToken, clock: Clock) -> dict[str, Any]:
    fields = PersonalAccessToken.model_fields.keys() - {"state"}
    return {name: getattr(row, name) for name in fields} | {"state": state_of(row, clock.now())}

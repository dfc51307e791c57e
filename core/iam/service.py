"""Who am I, and the personal access tokens of a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.crypto import KeyRing
from core.db.sessions import TenantSession
from core.errors import Conflict, Forbidden, InvalidInput, LimitReached, NotFound
from core.iam import tokens
from core.iam.authentication import Authenticator
from core.iam.repository import IdentityRepository
from core.models.access_token import AccessToken
from core.models.organization import Organization
from core.models.user import User

MAX_TOKENS_PER_USER: Final = 10
# A year, and a day for clients whose clock or calendar differs a little.
MAX_LIFETIME: Final = timedelta(days=366)


class TokenState(StrEnum):
    """What a token is good for."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


def state_of(token: AccessToken, now: datetime) -> TokenState:
    """A revoked token stays revoked after its expiry."""
    if token.revoked_at is not None:
        return TokenState.REVOKED
    return TokenState.EXPIRED if token.expires_at <= now else TokenState.ACTIVE


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token row together with the token itself, which exists nowhere else."""

    row: AccessToken
    token: str

    def __repr__(self) -> str:
        return f"NewToken(id={self.row.id})"


class IdentityService:
    """One caller's view of their organization. Users manage their own tokens only."""

    def __init__(
        self, session: TenantSession, actor: Actor, keyring: KeyRing, clock: Clock, authenticator: Authenticator
    ) -> None:
        self._session = session
        self._repository = IdentityRepository(session)
        self._actor = actor
        self._keyring = keyring
        self._clock = clock
        self._authenticator = authenticator

    def organization(self) -> Organization:
        """The caller's organization."""
        found = self._repository.organization()
        if found is None:
            raise NotFound("organization", self._actor.organization_id)
        return found

    def me(self) -> User:
        """The caller."""
        found = self._repository.user(self._actor.user_id)
        if found is None:
            raise NotFound("user", self._actor.user_id)
        return found

    def list_tokens(self, user_id: UUID) -> Sequence[AccessToken]:
        """All tokens of the user, oldest first; there are never more than MAX_TOKENS_PER_USER."""
        self._require_own(user_id)
        return self._repository.tokens(user_id)

    def token(self, user_id: UUID, token_id: UUID) -> AccessToken:
        """One token. Raises NotFound, Forbidden."""
        self._require_own(user_id)
        found = self._repository.token(user_id, token_id)
        if found is None:
            raise NotFound("personal access token", token_id)
        return found

    def create_token(self, user_id: UUID, name: str, expires_at: datetime) -> NewToken:
        """Make a token that ends at `expires_at`.

        Raises: LimitReached: the user has ten. InvalidInput: the end is in the past or more than a year away.
        """
        self._require_own(user_id)
        now = self._clock.now()
        if not now < expires_at <= now + MAX_LIFETIME:
            raise InvalidInput.of("expires_at", "must be in the future and at most 12 months away")
        self._repository.lock_user(user_id)
        if self._repository.count_tokens(user_id) >= MAX_TOKENS_PER_USER:
            raise LimitReached("personal access tokens per user", MAX_TOKENS_PER_USER)
        token = tokens.mint()
        row = AccessToken(
            user_id=user_id,
            name=name,
            token_hash=self._keyring.token_hash(token),
            expires_at=expires_at,
            created_at=now,
            updated_at=now,
        )
        self._repository.add(row)
        self._record("access_token.created", row)
        return NewToken(row, token)

    def rename_token(self, user_id: UUID, token_id: UUID, name: str) -> AccessToken:
        """Give a token another name."""
        row = self.token(user_id, token_id)
        row.name = name
        row.updated_at = self._clock.now()
        self._record("access_token.renamed", row)
        return row

    def revoke_token(self, user_id: UUID, token_id: UUID) -> AccessToken:
        """End a token for good; it counts from the commit on, in every process. Revoking again is a Conflict."""
        row = self.token(user_id, token_id)
        if row.revoked_at is not None:
            raise Conflict("The token is revoked already")
        row.revoked_at = row.updated_at = self._clock.now()
        row.revoked_by = self._actor.user_id
        self._record("access_token.revoked", row)
        self._session.after_commit(partial(self._authenticator.forget, row.id))
        return row

    def delete_token(self, user_id: UUID, token_id: UUID) -> None:
        """Remove a token; it ends at once."""
        row = self.token(user_id, token_id)
        self._repository.delete(row)
        self._record("access_token.deleted", row)
        self._session.after_commit(partial(self._authenticator.forget, token_id))

    def _require_own(self, user_id: UUID) -> None:
        if user_id == self._actor.user_id:
            return
        if self._repository.user(user_id) is None:
            raise NotFound("user", user_id)
        raise Forbidden("Only the user can manage their personal access tokens")

    def _record(self, action: str, row: AccessToken) -> None:
        audit.record(self._session, self._actor, action, "access_token", row.id, details={"name": row.name})

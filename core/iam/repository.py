"""Queries of users and their tokens."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from core.db.sessions import TenantSession
from core.models.access_token import AccessToken
from core.models.organization import Organization
from core.models.user import User


class IdentityRepository:
    """What one organization knows about itself and its people."""

    def __init__(self, session: TenantSession) -> None:
        self._session = session

    def organization(self) -> Organization | None:
        return self._session.get(Organization, self._session.org_id)

    def user(self, user_id: UUID) -> User | None:
        return self._session.find(User, user_id)

    def lock_user(self, user_id: UUID) -> User | None:
        """The user, held until the transaction ends: whoever counts their tokens next has to wait."""
        return self._session.scalar(select(User).where(User.id == user_id).with_for_update())

    def tokens(self, user_id: UUID) -> Sequence[AccessToken]:
        """All tokens of a user, oldest first."""
        return self._session.scalars(
            select(AccessToken).where(AccessToken.user_id == user_id).order_by(AccessToken.created_at, AccessToken.id)
        ).all()

    def count_tokens(self, user_id: UUID) -> int:
        return self._session.scalar(select(func.count(AccessToken.id)).where(AccessToken.user_id == user_id)) or 0

    def token(self, user_id: UUID, token_id: UUID) -> AccessToken | None:
        found = self._session.find(AccessToken, token_id)
        return found if found is not None and found.user_id == user_id else None

    def add(self, token: AccessToken) -> None:
        self._session.add(token)
        self._session.flush()

    def delete(self, token: AccessToken) -> None:
        self._session.delete(token)
        self._session.flush()

"""The first start: one organization, one administrator, one token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import select, text

from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.db.sessions import SystemSession
from core.iam import tokens
from core.iam.passwords import Passwords, new_password
from core.models.access_token import AccessToken
from core.models.audit_event import AuditEvent
from core.models.organization import Organization
from core.models.user import User

DEFAULT_ADMIN_EMAIL: Final = "admin@sluice.localhost"
DEFAULT_ORGANIZATION: Final = "Default"
BOOTSTRAP_NAME: Final = "bootstrap"
"""Of the token that an administrator gets without asking for it."""
_TOKEN_LIFETIME: Final = timedelta(days=365)
# Held to the end of the transaction: of two first starts one makes everything, the other finds it.
_LOCK: Final = text("select pg_advisory_xact_lock(7305811443)")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What is there after a start. `password` and `token` are set only by the start that made them, once."""

    organization_id: UUID
    admin_email: str
    password: SecretStr | None = None
    token: SecretStr | None = None

    @property
    def created(self) -> bool:
        """Whether this call made the organization."""
        return self.token is not None


def bootstrap(
    database: Database,
    keyring: KeyRing,
    passwords: Passwords,
    clock: Clock,
    *,
    admin_email: str = DEFAULT_ADMIN_EMAIL,
    organization: str = DEFAULT_ORGANIZATION,
) -> Bootstrap:
    """Make organization, administrator and token unless there is an organization already. Safe to run at once, twice."""
    with database.system() as session:
        session.execute(_LOCK)
        found = _existing(session)
        if found is not None:
            return found
        password = new_password()
        user, token = create_organization(
            session, keyring, clock, organization, admin_email, password_hash=passwords.hash(password)
        )
        return Bootstrap(user.org_id, user.email, SecretStr(password), SecretStr(token))


def create_organization(
    session: SystemSession,
    keyring: KeyRing,
    clock: Clock,
    name: str,
    admin_email: str,
    *,
    password_hash: str | None = None,
) -> tuple[User, str]:
    """A new tenant with its owner and the owner's first token; returns the owner and the token itself."""
    now = clock.now()
    organization_id = uuid4()
    user = User(
        org_id=organization_id,
        id=uuid4(),
        email=admin_email,
        full_name="Administrator",
        preferred_name="Admin",
        password_hash=password_hash,
        created_at=now,
        updated_at=now,
    )
    session.add(
        Organization(
            id=organization_id,
            name=name,
            owner_id=user.id,
            data_key=keyring.new_organization_key(organization_id).wrapped,
            created_at=now,
            updated_at=now,
        )
    )
    session.flush()
    session.add(user)
    session.flush()
    token = add_bootstrap_token(session, keyring, user, now)
    session.add(
        AuditEvent(
            org_id=organization_id,
            action="organization.created",
            actor="system",
            subject_type="organization",
            subject_id=organization_id,
            created_at=now,
        )
    )
    session.flush()
    return user, token


def add_bootstrap_token(session: SystemSession, keyring: KeyRing, user: User, now: datetime) -> str:
    """Make the token that `user` gets without asking for it; returns the token itself."""
    token = tokens.mint()
    session.add(
        AccessToken(
            org_id=user.org_id,
            user_id=user.id,
            name=BOOTSTRAP_NAME,
            token_hash=keyring.token_hash(token),
            expires_at=now + _TOKEN_LIFETIME,
            created_at=now,
            updated_at=now,
        )
    )
    return token


def _existing(session: SystemSession) -> Bootstrap | None:
    organization = session.scalar(select(Organization).order_by(Organization.created_at, Organization.id).limit(1))
    if organization is None:
        return None
    email = session.scalar(select(User.email).where(User.org_id == organization.id, User.id == organization.owner_id))
    return Bootstrap(organization.id, email or "")

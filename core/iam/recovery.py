"""A way back in for the operator: new credentials for the first administrator."""

from datetime import timedelta
from typing import Final

from pydantic import SecretStr
from sqlalchemy import delete, select

from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam import tokens
from core.iam.bootstrap import Bootstrap
from core.iam.passwords import Passwords, new_password
from core.models.access_token import AccessToken
from core.models.audit_event import AuditEvent
from core.models.organization import Organization
from core.models.user import User

# As the bootstrap does it.
_BOOTSTRAP_NAME: Final = "bootstrap"
_TOKEN_LIFETIME: Final = timedelta(days=365)
_ACTION: Final = "user.credentials_renewed"


def renew_credentials(database: Database, keyring: KeyRing, passwords: Passwords, clock: Clock) -> Bootstrap | None:
    """Give the owner of the oldest organization a new password, and a new token in place of the bootstrap's.

    Other tokens stay valid. Returns None when there is no organization yet.
    """
    password, token, now = new_password(), tokens.mint(), clock.now()
    password_hash = passwords.hash(password)
    with database.system() as session:
        owner = session.scalar(
            select(User)
            .join(Organization, (Organization.id == User.org_id) & (Organization.owner_id == User.id))
            .order_by(Organization.created_at, Organization.id)
            .limit(1)
            .with_for_update(of=User)
        )
        if owner is None:
            return None
        owner.password_hash = password_hash
        owner.updated_at = now
        session.execute(
            delete(AccessToken).where(
                AccessToken.org_id == owner.org_id, AccessToken.user_id == owner.id, AccessToken.name == _BOOTSTRAP_NAME
            )
        )
        session.add(
            AccessToken(
                org_id=owner.org_id,
                user_id=owner.id,
                name=_BOOTSTRAP_NAME,
                token_hash=keyring.token_hash(token),
                expires_at=now + _TOKEN_LIFETIME,
                created_at=now,
                updated_at=now,
            )
        )
        session.add(
            AuditEvent(
                org_id=owner.org_id,
                action=_ACTION,
                actor="system",
                subject_type="user",
                subject_id=owner.id,
                created_at=now,
            )
        )
        return Bootstrap(owner.org_id, owner.email, SecretStr(password), SecretStr(token))

"""A way back in for the operator: new credentials for the first administrator."""

from typing import Final

from pydantic import SecretStr
from sqlalchemy import delete, select

from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam.bootstrap import BOOTSTRAP_NAME, Bootstrap, add_bootstrap_token
from core.iam.passwords import Passwords, new_password
from core.models.access_token import AccessToken
from core.models.audit_event import AuditEvent
from core.models.organization import Organization
from core.models.user import User

_ACTION: Final = "user.credentials_renewed"


def renew_credentials(database: Database, keyring: KeyRing, passwords: Passwords, clock: Clock) -> Bootstrap | None:
    """Give the owner of the oldest organization a new password, and a new token in place of the bootstrap's.

    Other tokens stay valid. Returns None when there is no organization yet.
    """
    password, now = new_password(), clock.now()
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
                AccessToken.org_id == owner.org_id, AccessToken.user_id == owner.id, AccessToken.name == BOOTSTRAP_NAME
            )
        )
        token = add_bootstrap_token(session, keyring, owner, now)
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

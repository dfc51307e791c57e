"""Organizations for tests: each test gets one of its own, so nothing needs to be cleaned up between them."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from core.actor import Actor
from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam.bootstrap import create_organization


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with its administrator and a token of theirs."""

    organization_id: UUID
    user_id: UUID
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What a request of this tenant carries."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def actor(self) -> Actor:
        """The administrator, for calling services directly."""
        return Actor(self.organization_id, self.user_id, uuid4(), "test")


class TenantFactory:
    """Makes tenants in one database."""

    def __init__(self, database: Database, keyring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    def __call__(self, name: str = "Test") -> Tenant:
        email = f"admin-{uuid4().hex[:8]}@example.test"
        with self._database.system() as session:
            user, token = create_organization(session, self._keyring, self._clock, name, email)
            return Tenant(user.org_id, user.id, email, token)

"""Config stores of a control plane: secrets that its vault entities of the backend `konnect` stand for.

A value goes in and does not come out through the API again. It is sealed like every secret: under the organization's
data key, bound to its place.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.control_planes.repository import ControlPlaneRepository
from core.crypto import KeyRing, OrganizationKey
from core.db.sessions import TenantSession
from core.errors import InvalidInput, LimitReached, NameTaken, NotFound, Violation
from core.models.config_store import ConfigStore, ConfigStoreSecret
from core.models.organization import Organization

MOST_STORES: Final = 100
"""Per control plane."""
MOST_SECRETS: Final = 1000
"""Per store."""

LONGEST_KEY: Final = 512

_TABLE: Final = "config_store_secrets"


class ConfigStoreService:
    """The config stores of one control plane. Every method raises NotFound for what is not there."""

    def __init__(
        self, session: TenantSession, keyring: KeyRing, actor: Actor, clock: Clock, control_plane_id: UUID
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._actor = actor
        self._clock = clock
        self._control_plane_id = control_plane_id
        self._control_planes = ControlPlaneRepository(session)

    # --- stores ----------------------------------------------------------------------------------------------------

    def page(self, size: int, after: tuple[datetime, UUID] | None) -> tuple[Sequence[ConfigStore], bool]:
        """Stores, oldest first, from behind the one that was made then and has that id; whether there are more."""
        self._control_planes.require(self._control_plane_id)
        statement = select(ConfigStore).where(ConfigStore.control_plane_id == self._control_plane_id)
        if after is not None:
            statement = statement.where(tuple_(ConfigStore.created_at, ConfigStore.id) > after)
        found = self._session.scalars(statement.order_by(ConfigStore.created_at, ConfigStore.id).limit(size + 1)).all()
        return found[:size], len(found) > size

    def get(self, store_id: UUID) -> ConfigStore:
        """One store."""
        found = self._session.get(ConfigStore, (self._session.org_id, self._control_plane_id, store_id))
        if found is None:
            raise NotFound("config store", store_id)
        return found

    def create(self, name: str | None) -> ConfigStore:
        """Make a store. Raises LimitReached."""
        if self._control_planes.lock(self._control_plane_id) is None:
            raise NotFound("control plane", self._control_plane_id)
        here = select(func.count()).where(ConfigStore.control_plane_id == self._control_plane_id)
        if (self._session.scalar(here) or 0) >= MOST_STORES:
            raise LimitReached("config stores per control plane", MOST_STORES)
        now = self._clock.now()
        store = ConfigStore(control_plane_id=self._control_plane_id, name=name, created_at=now, updated_at=now)
        self._session.add(store)
        self._session.flush()
        self._record("config_store.created", store.id, {})
        return store

    def rename(self, store_id: UUID, name: str | None) -> ConfigStore:
        """Give a store another name, or none."""
        store = self._lock(store_id)
        store.name, store.updated_at = name, self._clock.now()
        self._record("config_store.updated", store.id, {})
        return store

    def delete(self, store_id: UUID, *, force: bool) -> None:
        """Remove a store; with `force` together with what is in it. Raises InvalidInput: something is, without `force`."""
        store = self._lock(store_id)
        count = self._count(store_id)
        if count and not force:
            what = "secret" if count == 1 else "secrets"
            reason = f"must be true to remove a store that has {count} {what}; without it, remove these first"
            raise InvalidInput.of("force", reason, rule="required", source="query")
        self._session.delete(store)
        self._record("config_store.deleted", store_id, {"secrets": count})

    # --- secrets ---------------------------------------------------------------------------------------------------

    def secrets(self, store_id: UUID, size: int, after: str) -> tuple[Sequence[ConfigStoreSecret], bool]:
        """Secrets in order of their keys, from behind that key ("" for the first); whether there are more."""
        self.get(store_id)
        statement = select(ConfigStoreSecret).where(*self._in(store_id), ConfigStoreSecret.key > after)
        found = self._session.scalars(statement.order_by(ConfigStoreSecret.key).limit(size + 1)).all()
        return found[:size], len(found) > size

    def secret(self, store_id: UUID, key: str) -> ConfigStoreSecret:
        """One secret."""
        found = self._find(store_id, key)
        if found is None:
            raise NotFound("secret", key)
        return found

    def create_secret(self, store_id: UUID, key: str, value: str) -> ConfigStoreSecret:
        """Put a secret into a store. Raises NameTaken, LimitReached."""
        self._lock(store_id)
        if self._find(store_id, key) is not None:
            raise NameTaken("secret", {"config_store_id": store_id, "key": key})
        return self._add(store_id, key, value)

    def put_secret(self, store_id: UUID, key: str, value: str) -> tuple[ConfigStoreSecret, bool]:
        """Have this value under a key; whether there was none. Raises InvalidInput: nothing can have that key; LimitReached."""
        self._lock(store_id)
        if len(key) > LONGEST_KEY:
            reason = f"must have at most {LONGEST_KEY} characters"
            raise InvalidInput([Violation("key", reason, "max_length", "path", bound=LONGEST_KEY)])
        found = self._find(store_id, key)
        if found is None:
            return self._add(store_id, key, value), True
        found.value, found.updated_at = self._sealed(store_id, key, value), self._clock.now()
        self._record("config_store_secret.updated", store_id, {"key": key})
        return found, False

    def delete_secret(self, store_id: UUID, key: str) -> None:
        """Remove a secret."""
        self._lock(store_id)
        self._session.delete(self.secret(store_id, key))
        self._record("config_store_secret.deleted", store_id, {"key": key})

    # --- steps -----------------------------------------------------------------------------------------------------

    def _add(self, store_id: UUID, key: str, value: str) -> ConfigStoreSecret:
        if self._count(store_id) >= MOST_SECRETS:
            raise LimitReached("secrets per config store", MOST_SECRETS)
        now = self._clock.now()
        secret = ConfigStoreSecret(
            control_plane_id=self._control_plane_id,
            store_id=store_id,
            key=key,
            value=self._sealed(store_id, key, value),
            created_at=now,
            updated_at=now,
        )
        self._session.add(secret)
        self._record("config_store_secret.created", store_id, {"key": key})
        return secret

    def _lock(self, store_id: UUID) -> ConfigStore:
        """The store, held until the transaction ends: changes of what is in it happen one after the other."""
        place = (self._session.org_id, self._control_plane_id, store_id)
        found = self._session.get(ConfigStore, place, with_for_update={"key_share": True}, populate_existing=True)
        if found is None:
            raise NotFound("config store", store_id)
        return found

    def _find(self, store_id: UUID, key: str) -> ConfigStoreSecret | None:
        return self._session.get(ConfigStoreSecret, (self._session.org_id, self._control_plane_id, store_id, key))

    def _count(self, store_id: UUID) -> int:
        return self._session.scalar(select(func.count()).where(*self._in(store_id))) or 0

    def _in(self, store_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return ConfigStoreSecret.control_plane_id == self._control_plane_id, ConfigStoreSecret.store_id == store_id

    def _sealed(self, store_id: UUID, key: str, value: str) -> str:
        organization = self._session.get(Organization, self._session.org_id)
        assert organization is not None
        data_key = OrganizationKey(organization.id, organization.data_key)
        return self._keyring.seal(data_key, _TABLE, f"{self._control_plane_id}/{store_id}/{key}", "value", value)

    def _record(self, action: str, store_id: UUID, details: dict[str, object]) -> None:
        audit.record(
            self._session,
            self._actor,
            action,
            "config_store",
            store_id,
            control_plane_id=self._control_plane_id,
            details=details,
        )

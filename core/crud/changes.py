"""The tail of every write: history, version, audit and the notice, in the transaction of the write itself."""

from uuid import UUID

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.crud.errors import UsageConstraint
from core.db.notices import CONFIG_CHANNEL, publish
from core.db.sessions import TenantSession
from core.models.config_change import ConfigChange
from core.models.control_plane import ControlPlane
from schema.base import Document, Entity


class ChangeLog:
    """Collects what one operation (or several) did to a locked control plane, and seals it as one version."""

    def __init__(
        self, session: TenantSession, actor: Actor, clock: Clock, control_plane: ControlPlane, most_entities: int
    ) -> None:
        self._session = session
        self._most_entities = most_entities
        self._growth = 0
        self._actor = actor
        self._clock = clock
        self._control_plane = control_plane
        self._changes: list[ConfigChange] = []

    def record(self, entity: type[Entity], before: Document | None, after: Document | None) -> None:
        """Note one entity's change, both sides as stored (secrets sealed). None: it was not there, or is no more."""
        known = after if after is not None else before
        assert known is not None
        change = ConfigChange(
            control_plane_id=self._control_plane.id,
            entity_type=entity.spec.plural,
            entity_id=UUID(known["id"]),
            operation="delete" if after is None else "put",
            before=before,
            after=after,
            actor=self._actor.label,
            created_at=self._clock.now(),
            seq=len(self._changes),
        )
        self._changes.append(change)
        self._growth += (after is not None) - (before is not None)
        deed = "deleted" if after is None else "created" if before is None else "updated"
        natural = entity.spec.natural_key
        audit.record(
            self._session,
            self._actor,
            f"{entity.spec.singular}.{deed}",
            entity.spec.singular,
            change.entity_id,
            control_plane_id=self._control_plane.id,
            details={} if natural is None or known[natural] is None else {natural: known[natural]},
        )

    def finish(self) -> int:
        """Make the noted changes the next version, tell listeners at commit, and return the version's number.

        Nothing noted: the version stays, for each one has a change of its own.
        Raises: UsageConstraint: there would be more entities than a control plane may have.
        """
        if not self._changes:
            return self._control_plane.config_version
        self._control_plane.entity_count += self._growth
        if self._growth > 0 and self._control_plane.entity_count > self._most_entities:
            raise UsageConstraint(f"a control plane holds at most {self._most_entities} entities")
        self._control_plane.config_version += 1
        version = self._control_plane.config_version
        for change in self._changes:
            change.version = version
            self._session.add(change)
        self._session.flush()
        payload = f"{self._session.org_id} {self._control_plane.id} {version}"
        publish(self._session, CONFIG_CHANNEL, payload)
        return version

"""The tail of every write: history, version, size, audit and the notice, in the transaction of the write itself."""

import hashlib
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, select

from core.actor import Actor, SystemActor
from core.clock import Clock
from core.control_planes.configuration import GROUP, Caps, advance
from core.crud import history
from core.crud.errors import UsageConstraint
from core.crud.history import Change
from core.crud.rows import Picture
from core.crud.sealing import Sealer
from core.db.sessions import BY_KEY, TenantSession
from core.errors import NotFound
from core.groups import propagation
from core.models.control_plane import ControlPlane
from schema.base import Entity

# Their configuration comes from elsewhere: from a cluster's resources, or from the members of the group.
_CLOSED_KINDS: Final = {
    "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER": "entities of this control plane are managed by its ingress controller",
    GROUP: "a control plane group holds no entities of its own",
}
# FOR NO KEY UPDATE: writers wait for each other, rows that merely refer to the control plane do not
_LOCK: Final = (
    select(ControlPlane)
    .where(ControlPlane.org_id == bindparam("org_id"), ControlPlane.id == bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True, **BY_KEY)
)


def lock(session: TenantSession, control_plane_id: UUID) -> ControlPlane:
    """The control plane, held until the transaction ends: the changes of one control plane have one order.

    Raises: NotFound, and UsageConstraint for one that takes no entities from here.
    """
    found = session.scalars(_LOCK, {"org_id": session.org_id, "id": control_plane_id}).one_or_none()
    if found is None:
        raise NotFound("control plane", control_plane_id)
    if found.cluster_type in _CLOSED_KINDS:
        raise UsageConstraint(_CLOSED_KINDS[found.cluster_type])
    return found


class ChangeLog:
    """Collects what one operation (or several) did to a locked control plane, and seals it as one version."""

    def __init__(
        self,
        session: TenantSession,
        actor: Actor | SystemActor,
        clock: Clock,
        control_plane: ControlPlane,
        caps: Caps,
        sealer: Sealer,
    ) -> None:
        self._session = session
        self._caps = caps
        self._sealer = sealer
        self._actor = actor
        self._clock = clock
        self.control_plane = control_plane
        self._changes: list[Change] = []
        self._growth = propagation.Growth()
        self._content = hashlib.sha256()

    def record(self, entity: type[Entity], before: Picture | None, after: Picture | None) -> None:
        """Note one entity's change. None: it was not there, or is no more."""
        picture = after or before
        assert picture is not None
        known = picture.document
        deed = "deleted" if after is None else "created" if before is None else "updated"
        natural = entity.spec.natural_key
        change = Change(
            seq=len(self._changes),
            entity_type=entity.spec.plural,
            entity_id=UUID(known["id"]),
            operation="delete" if after is None else "put",
            before=before and before.document,
            after=after and after.document,
            action=f"{entity.spec.singular}.{deed}",
            subject_type=entity.spec.singular,
            details={} if natural is None or known[natural] is None else {natural: known[natural]},
        )
        self._changes.append(change)
        self._growth.add(before and before.stored, after and after.stored)
        self._content.update(f"{change.operation} {change.entity_type} {change.entity_id}\n".encode())
        self._content.update(hashlib.sha256(b"" if after is None else after.stored).digest())

    def finish(self) -> int:
        """Make the noted changes the next version, tell listeners at commit, and return the version's number.

        Nothing noted: the version stays, for each one has a change of its own.
        Raises: UsageConstraint: the control plane, or a group that it is a member of, would be larger than allowed.
        """
        control_plane = self.control_plane
        if not self._changes:
            return control_plane.config_version
        self._growth.apply(control_plane)
        exceeded = self._caps.exceeded(control_plane)
        if exceeded is not None and self._growth.more:
            raise UsageConstraint(f"a control plane holds at most {exceeded}")
        now = self._clock.now()
        version = advance(control_plane, self._content.digest(), now)
        history.append(self._session, control_plane, self._changes, self._actor, now)
        if control_plane.grouped:
            member = propagation.Member(self._session, self._sealer, control_plane)
            exceeded = member.pass_on(self._changes, self._growth, self._caps, self._actor.label, now)
            if exceeded is not None:
                raise UsageConstraint(f"the members of a control plane group hold at most {exceeded} together")
        return version

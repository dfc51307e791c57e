"""Creating, changing and deleting control planes."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.control_planes.repository import ControlPlaneRepository
from core.db.notices import publish_assignment
from core.db.outbox import Outbox
from core.db.sessions import TenantSession
from core.errors import InvalidInput, LimitReached, NameTaken, NotFound
from core.gateways.topics import RECONCILE_CONFIGURATION
from core.groups.members import lock_groups_of, renew
from core.labels import MOST_LABELS
from core.listing import Listing, Page
from core.models.base import Document
from core.models.control_plane import ControlPlane
from core.settings import Settings

ClusterType = Literal[
    "CLUSTER_TYPE_CONTROL_PLANE",
    "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER",
    "CLUSTER_TYPE_CONTROL_PLANE_GROUP",
    "CLUSTER_TYPE_SERVERLESS",
    "CLUSTER_TYPE_KAFKA_NATIVE_EVENT_PROXY",
    "CLUSTER_TYPE_SERVERLESS_V1",
]
AuthType = Literal["pinned_client_certs", "pki_client_certs"]

_PREFIX_BYTES: Final = 5
_PREFIX_ATTEMPTS: Final = 5
_PREFIX_CONSTRAINT: Final = "uq_control_planes_endpoint_prefix"


@dataclass(frozen=True, slots=True)
class NewControlPlane:
    """What a client may say about a control plane that it creates."""

    name: str
    description: str = ""
    cluster_type: ClusterType = "CLUSTER_TYPE_CONTROL_PLANE"
    auth_type: AuthType = "pinned_client_certs"
    cloud_gateway: bool = False
    proxy_urls: Sequence[Document] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ControlPlaneChanges:
    """What a client changes; None leaves a field alone. A label set to None is removed."""

    name: str | None = None
    description: str | None = None
    auth_type: AuthType | None = None
    proxy_urls: Sequence[Document] | None = None
    labels: Mapping[str, str | None] | None = None


class ControlPlaneService:
    """Control planes of the caller's organization."""

    def __init__(self, session: TenantSession, actor: Actor, settings: Settings, clock: Clock) -> None:
        self._session = session
        self._repository = ControlPlaneRepository(session)
        self._actor = actor
        self._settings = settings
        self._clock = clock

    def get(self, control_plane_id: UUID) -> ControlPlane:
        """One control plane. Raises NotFound."""
        return self._repository.require(control_plane_id)

    def page(self, listing: Listing) -> Page[ControlPlane]:
        """Part of the list of control planes."""
        return self._repository.page(listing)

    def create(self, new: NewControlPlane) -> ControlPlane:
        """Make a control plane with an empty configuration. Raises NameTaken, LimitReached."""
        now = self._clock.now()
        most = self._settings.max_control_planes
        if self._repository.count_for_one_more() >= most:
            raise LimitReached("control planes", most)
        for attempt in range(_PREFIX_ATTEMPTS):
            control_plane = ControlPlane(
                name=new.name,
                description=new.description,
                labels=dict(new.labels),
                cluster_type=new.cluster_type,
                auth_type=new.auth_type,
                cloud_gateway=new.cloud_gateway,
                proxy_urls=list(new.proxy_urls),
                endpoint_prefix=secrets.token_hex(_PREFIX_BYTES),
                config_changed_at=now,
                created_at=now,
                updated_at=now,
            )
            try:
                with self._session.begin_nested():
                    self._repository.add(control_plane)
            except IntegrityError as error:
                # Forty random bits meet once in a while; a name that is taken stays so.
                if _violated(error) == _PREFIX_CONSTRAINT and attempt < _PREFIX_ATTEMPTS - 1:
                    continue
                raise self._name_taken(error, new.name) from None
            self._record("control_plane.created", control_plane)
            return control_plane
        raise AssertionError("unreachable: the last attempt raises")

    def update(self, control_plane_id: UUID, changes: ControlPlaneChanges) -> ControlPlane:
        """Change some fields. Raises NotFound, NameTaken, InvalidInput (too many labels, with those that stay)."""
        control_plane = self._locked(control_plane_id)
        fields: dict[str, Any] = {
            "name": changes.name,
            "description": changes.description,
            "auth_type": changes.auth_type,
            "proxy_urls": None if changes.proxy_urls is None else list(changes.proxy_urls),
            "labels": None if changes.labels is None else _merged(control_plane.labels, changes.labels),
        }
        changed = {name: value for name, value in fields.items() if value not in (None, getattr(control_plane, name))}
        if not changed:
            return control_plane
        for name, value in changed.items():
            setattr(control_plane, name, value)
        control_plane.updated_at = self._clock.now()
        try:
            self._session.flush()
        except IntegrityError as error:
            raise self._name_taken(error, changes.name or "") from None
        self._record("control_plane.updated", control_plane, {"fields": sorted(changed)})
        return control_plane

    def delete(self, control_plane_id: UUID) -> None:
        """Remove a control plane with everything below it and have its gateways torn down. Raises NotFound."""
        control_plane = self._locked(control_plane_id)
        configurations = self._repository.lock_configurations(control_plane_id)
        regions = self._repository.regions(control_plane_id)
        groups = lock_groups_of(self._session, control_plane) if control_plane.grouped else ()
        self._repository.delete(control_plane)
        for group in groups:
            renew(self._session, group, self._clock.now())
        outbox = Outbox(self._session)
        for configuration_id in configurations:
            outbox.put(RECONCILE_CONFIGURATION, self._session.org_id, configuration_id)
        for region in regions:
            publish_assignment(self._session, region, control_plane_id)
        self._record("control_plane.deleted", control_plane)

    def proxy_urls(self, control_planes: Sequence[ControlPlane]) -> dict[UUID, list[Document]]:
        """Where traffic goes in, per control plane: the user's own addresses, then those of gateways that are ready."""
        urls = {control_plane.id: list(control_plane.proxy_urls) for control_plane in control_planes}
        for group in self._repository.ready_groups(list(urls)):
            region = self._settings.region(group.region)
            if region is None:
                continue
            for protocol, port in (("http", region.client_http_port), ("https", region.client_https_port)):
                url: Document = {"host": group.hostname, "port": port, "protocol": protocol}
                if url not in urls[group.control_plane_id]:
                    urls[group.control_plane_id].append(url)
        return urls

    def _locked(self, control_plane_id: UUID) -> ControlPlane:
        found = self._repository.lock(control_plane_id)
        if found is None:
            raise NotFound("control plane", control_plane_id)
        return found

    def _name_taken(self, error: IntegrityError, name: str) -> Exception:
        if _violated(error) == "uq_control_planes_org_id_name":
            return NameTaken("control plane", {"org_id": self._session.org_id, "name": name})
        return error

    def _record(self, action: str, control_plane: ControlPlane, details: dict[str, Any] | None = None) -> None:
        audit.record(
            self._session,
            self._actor,
            action,
            "control_plane",
            control_plane.id,
            control_plane_id=control_plane.id,
            details={"name": control_plane.name, **(details or {})},
        )


def _merged(labels: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {key: value for key, value in {**labels, **changes}.items() if value is not None}
    if len(merged) > MOST_LABELS:
        raise InvalidInput.of("labels", f"There may be at most {MOST_LABELS} labels", rule="is_label")
    return merged


def _violated(error: IntegrityError) -> str | None:
    return error.orig.diag.constraint_name if isinstance(error.orig, UniqueViolation) else None

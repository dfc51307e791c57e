"""Gateway configurations: a control plane's statement of where its gateways are wanted.

The service writes what is wanted and a job; the reconciler (workers/reconcile/gateway_configuration.py) brings it about.
Source: Konnect Cloud Gateways API v2 (shapes, states and refusals).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.db.outbox import Outbox
from core.db.sessions import TenantSession
from core.errors import Conflict, InvalidInput, NotFound, Violation
from core.gateways.repository import GatewayRepository
from core.gateways.statement import SERVERLESS_PROVIDER, GroupStatement, Statement
from core.gateways.states import awaits_only_time
from core.gateways.topics import RECONCILE_CONFIGURATION
from core.listing import Listing, Page
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class ConfigurationView:
    """A configuration with its groups as they are now."""

    configuration: GatewayConfiguration
    groups: Sequence[DataplaneGroup]


class GatewayService:
    """One organization's gateway configurations."""

    def __init__(self, session: TenantSession, actor: Actor, settings: Settings, clock: Clock) -> None:
        self._session = session
        self._repository = GatewayRepository(session)
        self._actor = actor
        self._settings = settings
        self._clock = clock

    def put(self, statement: Statement) -> ConfigurationView:
        """Replace a control plane's configuration, or make its first.

        Raises: NotFound: no such control plane. InvalidInput: a region is not offered, a place is named twice, the kind is
            not provisioned here, or earlier groups are not finished. Conflict: nothing would change.
        """
        self._check(statement)
        control_plane = self._repository.lock_control_plane(statement.control_plane_id)
        if control_plane is None:
            raise NotFound("control plane", statement.control_plane_id)
        self.check_kind(control_plane, "control_plane_id")
        configuration = self._repository.lock_configuration_of(control_plane.id)
        wanted = [group.document() for group in statement.groups]
        if configuration is None:
            configuration = self._create(statement, wanted)
            groups: list[DataplaneGroup] = []
        else:
            groups = self._repository.groups([configuration.id])[configuration.id]
            self._replace(configuration, groups, statement, wanted)
        self._align(configuration, groups, control_plane, statement.groups)
        self._finish(configuration, "gateway_configuration.replaced")
        return self.get(configuration.id)

    def get(self, configuration_id: UUID) -> ConfigurationView:
        """One configuration. Raises NotFound."""
        configuration = self._repository.configuration(configuration_id)
        if configuration is None:
            raise NotFound("configuration", configuration_id)
        return ConfigurationView(configuration, self._repository.groups([configuration.id])[configuration.id])

    def page(self, listing: Listing) -> Page[ConfigurationView]:
        """Part of the list of configurations."""
        page = self._repository.page(listing)
        groups = self._repository.groups([row.id for row in page.items])
        views = [ConfigurationView(row, groups[row.id]) for row in page.items]
        return Page(views, page.number, page.size, page.total)

    def check_kind(self, control_plane: ControlPlane, field: str) -> None:
        """Raise InvalidInput on `field` when the control plane is not of a kind that has hosted gateways."""
        if not control_plane.hosted:
            raise InvalidInput.of(field, "must be a control plane with cloud_gateway set or of a serverless type")

    def _check(self, statement: Statement) -> None:
        if statement.kind != "serverless.v1":
            choices = ["serverless.v1"]
            reason = "names a kind that is not provisioned here; serverless.v1 is"
            raise InvalidInput([Violation("kind", reason, "enum", choices=choices)])
        violations: list[Violation] = []
        seen: set[tuple[str, str]] = set()
        for index, group in enumerate(statement.groups):
            if group.provider != SERVERLESS_PROVIDER or self._settings.region(group.region) is None:
                reason = "is not a supported region of this provider; availability.json lists them"
                violations.append(
                    Violation(f"dataplane_groups[{index}].region", reason, "is_supported_provider_region")
                )
            elif group.place in seen:
                violations.append(Violation(f"dataplane_groups[{index}].region", "is named more than once", "invalid"))
            seen.add(group.place)
        if violations:
            raise InvalidInput(violations)

    def _create(self, statement: Statement, wanted: list[dict[str, object]]) -> GatewayConfiguration:
        now = self._clock.now()
        configuration = GatewayConfiguration(
            control_plane_id=statement.control_plane_id,
            control_plane_geo=statement.control_plane_geo,
            kind=statement.kind,
            api_access=statement.api_access,
            groups=wanted,
            created_at=now,
            updated_at=now,
        )
        self._repository.add(configuration)
        return configuration

    def _replace(
        self,
        configuration: GatewayConfiguration,
        groups: Sequence[DataplaneGroup],
        statement: Statement,
        wanted: list[dict[str, object]],
    ) -> None:
        present = (configuration.kind, configuration.api_access, configuration.control_plane_geo)
        proposed = (statement.kind, statement.api_access, statement.control_plane_geo)
        if present == proposed and _unordered(configuration.groups) == _unordered(wanted):
            raise Conflict("Proposed configuration and current configuration are identical.")
        if any(awaits_only_time(group.state, group.state_metadata) for group in groups):
            raise InvalidInput.of(
                "dataplane_groups", "must wait until the groups of the current configuration are finished"
            )
        configuration.kind = statement.kind
        configuration.control_plane_geo = statement.control_plane_geo
        configuration.api_access = statement.api_access
        configuration.groups = wanted
        configuration.entity_version += 1
        configuration.updated_at = self._clock.now()

    def _align(
        self,
        configuration: GatewayConfiguration,
        groups: Sequence[DataplaneGroup],
        control_plane: ControlPlane,
        wanted: Sequence[GroupStatement],
    ) -> None:
        places = {group.place for group in wanted}
        present = {(group.provider, group.region): group for group in groups}
        for place, group in present.items():
            if place not in places:
                self._enter(group, "terminating")
        for statement in wanted:
            group = present.get(statement.place)
            if group is None:
                self._repository.add(self._new_group(configuration, control_plane, statement))
            elif group.state == "terminating":
                self._enter(group, "initializing")

    def _new_group(
        self, configuration: GatewayConfiguration, control_plane: ControlPlane, statement: GroupStatement
    ) -> DataplaneGroup:
        now = self._clock.now()
        return DataplaneGroup(
            configuration_id=configuration.id,
            control_plane_id=control_plane.id,
            provider=statement.provider,
            region=statement.region,
            state="initializing",
            hostname=hostname(control_plane.endpoint_prefix, statement.region, self._settings.gateway_domain),
            created_at=now,
            updated_at=now,
        )

    def _enter(self, group: DataplaneGroup, state: str) -> None:
        group.state = state
        group.state_metadata = {}
        group.updated_at = self._clock.now()

    def _finish(self, configuration: GatewayConfiguration, event: str) -> None:
        """The job and the audit event, in the transaction of the deed."""
        self._session.flush()
        Outbox(self._session).put(RECONCILE_CONFIGURATION, self._session.org_id, configuration.id)
        audit.record(
            self._session,
            self._actor,
            event,
            "gateway_configuration",
            configuration.id,
            control_plane_id=configuration.control_plane_id,
            details={"entity_version": configuration.entity_version, "groups": len(configuration.groups)},
        )


def hostname(prefix: str, region: str, domain: str) -> str:
    """The host name of a control plane's gateway in one region."""
    return f"{prefix}.{region}.{domain}".lower()


def _unordered(groups: Sequence[dict[str, object]]) -> list[str]:
    return sorted(repr(sorted(group.items())) for group in groups)

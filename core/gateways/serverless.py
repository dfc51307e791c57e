"""Serverless gateways in one call: the older face of a configuration with one group, by control plane.

The certificate that callers must send is for data planes of theirs; our runtimes have node certificates of their own, so
neither it nor its key is kept.
Source: Konnect Serverless Cloud Gateways API v0.
"""

from dataclasses import dataclass
from typing import cast, get_args
from uuid import UUID

from core.errors import Conflict, InvalidInput, NotFound
from core.gateways.service import GatewayService
from core.gateways.statement import SERVERLESS_PROVIDER, Geo, GroupStatement, Statement
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration


@dataclass(frozen=True, slots=True)
class ServerlessGateway:
    """A control plane's serverless gateway."""

    control_plane: ControlPlane
    configuration: GatewayConfiguration
    group: DataplaneGroup


class ServerlessService(GatewayService):
    """One organization's serverless gateways, one per control plane."""

    def create(
        self, control_plane_id: UUID, prefix: str | None, region: str, labels: dict[str, str]
    ) -> ServerlessGateway:
        """Give a control plane a serverless gateway.

        Raises: NotFound: no such control plane. Conflict: it has one. InvalidInput: the region is not offered, or `prefix`
            is not the control plane's.
        """
        group = GroupStatement(SERVERLESS_PROVIDER, region)
        if self._settings.region(region) is None:
            raise InvalidInput.of(
                "control_plane.region", "is not a supported region", rule="is_supported_provider_region"
            )
        control_plane = self._lock(control_plane_id)
        self.check_kind(control_plane, "control_plane.id")
        if prefix is not None and prefix != control_plane.endpoint_prefix:
            raise InvalidInput.of("control_plane.prefix", "is not the prefix of this control plane's endpoints")
        configuration = self._repository.lock_configuration_of(control_plane_id)
        groups: list[DataplaneGroup] = []
        if configuration is None:
            geo = region if region in get_args(Geo) else "us"
            statement = Statement(control_plane_id, cast("Geo", geo), "serverless.v1", "private+public", [group])
            configuration = self._create(statement, [group.document()])
        else:
            groups = self._repository.groups([configuration.id])[configuration.id]
            if any(item.state != "terminating" for item in groups):
                raise Conflict("The control plane has a serverless gateway already.")
            configuration.groups = [group.document()]
            configuration.entity_version += 1
            configuration.updated_at = self._clock.now()
        configuration.labels = labels
        self._align(configuration, groups, control_plane, [group])
        self._finish(configuration, "serverless_gateway.created")
        return self.find(control_plane_id)

    def find(self, control_plane_id: UUID) -> ServerlessGateway:
        """The gateway of a control plane. Raises NotFound: none, or it is ending."""
        control_plane = self._repository.control_plane(control_plane_id)
        configuration = self._repository.configuration_of(control_plane_id) if control_plane is not None else None
        if control_plane is None or configuration is None:
            raise NotFound("serverless gateway", control_plane_id)
        groups = self._repository.groups([configuration.id])[configuration.id]
        for group in groups:
            if group.state != "terminating":
                return ServerlessGateway(control_plane, configuration, group)
        raise NotFound("serverless gateway", control_plane_id)

    def delete(self, control_plane_id: UUID) -> None:
        """End the gateway. Raises NotFound."""
        control_plane = self._lock(control_plane_id)
        self._repository.lock_configuration_of(control_plane_id)
        configuration = self.find(control_plane_id).configuration
        groups = self._repository.groups([configuration.id])[configuration.id]
        configuration.groups = []
        configuration.labels = {}
        configuration.entity_version += 1
        configuration.updated_at = self._clock.now()
        self._align(configuration, groups, control_plane, [])
        self._finish(configuration, "serverless_gateway.deleted")

    def _lock(self, control_plane_id: UUID) -> ControlPlane:
        control_plane = self._repository.lock_control_plane(control_plane_id)
        if control_plane is None:
            raise NotFound("control plane", control_plane_id)
        return control_plane

"""All tables. Importing this package is what fills `Base.metadata`."""

from core.models.access_token import AccessToken
from core.models.audit_event import AuditEvent
from core.models.base import Base, Document
from core.models.config_change import ConfigChange
from core.models.config_store import ConfigStore, ConfigStoreSecret
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.dp_client_certificate import DpClientCertificate
from core.models.entities import ENTITY_ROWS, EntityRow
from core.models.gateway_configuration import GatewayConfiguration
from core.models.group_membership import GroupMembership
from core.models.lease import Lease
from core.models.organization import Organization
from core.models.organization_limits import OrganizationLimits
from core.models.outbox import OutboxMessage
from core.models.runtime_ack import RuntimeAck
from core.models.runtime_node import RuntimeNode
from core.models.target_health import TargetHealth
from core.models.target_order import TargetOrder
from core.models.user import User

__all__ = [
    "ENTITY_ROWS",
    "AccessToken",
    "AuditEvent",
    "Base",
    "ConfigChange",
    "ConfigStore",
    "ConfigStoreSecret",
    "ControlPlane",
    "DataplaneGroup",
    "Document",
    "DpClientCertificate",
    "EntityRow",
    "GatewayConfiguration",
    "GroupMembership",
    "Lease",
    "Organization",
    "OrganizationLimits",
    "OutboxMessage",
    "RuntimeAck",
    "RuntimeNode",
    "TargetHealth",
    "TargetOrder",
    "User",
]

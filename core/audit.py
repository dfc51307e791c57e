"""The audit trail's pen: one row in the transaction of the deed itself."""

from typing import Any
from uuid import UUID

from core.actor import Actor, SystemActor
from core.db.sessions import TenantSession
from core.models.audit_event import AuditEvent


def record(
    session: TenantSession,
    actor: Actor | SystemActor,
    action: str,
    subject_type: str,
    subject_id: UUID | None,
    *,
    control_plane_id: UUID | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Note that `actor` did `action` (`noun.past`). `details` must hold no secrets: names and numbers only."""
    session.add(
        AuditEvent(
            action=action,
            actor=actor.label,
            subject_type=subject_type,
            subject_id=subject_id,
            control_plane_id=control_plane_id,
            request_id=actor.request_id,
            details=details or {},
        )
    )

"""What was done to a control plane's configuration, in the history and in the audit trail.

Both are only ever added to, so they are written past the session's bookkeeping: all rows of a version, what the control plane's
row says of it, and its notice, with one statement. Other writers wait for as long as this takes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm.attributes import set_committed_value

from core.actor import Actor, SystemActor
from core.db.notices import CONFIG_CHANNEL
from core.db.sessions import TenantSession
from core.models.control_plane import ControlPlane
from schema.base import Document

# A parameter of PostgreSQL's holds 256 MB as JSON; a change is some kilobytes, and its entity at most a body's size.
_MOST_AT_ONCE: Final = 200
_APPEND: Final = text(
    """
    with
        deed as (
            select * from jsonb_to_recordset(cast(:changes as jsonb)) as deed
                (seq int, entity_type text, entity_id uuid, operation text, before jsonb, after jsonb,
                 action text, subject_type text, details jsonb)
        ),
        noted as (
            insert into config_changes (org_id, control_plane_id, version, seq, entity_type, entity_id, operation,
                                        before, after, actor, created_at)
            select :org_id, :control_plane_id, :version, seq, entity_type, entity_id, operation, before, after,
                   :actor, :now
            from deed
        ),
        audited as (
            insert into audit_events (org_id, id, action, actor, subject_type, subject_id, control_plane_id,
                                      request_id, details, created_at)
            select :org_id, gen_random_uuid(), action, :actor, subject_type, entity_id, :control_plane_id,
                   :request_id, details, :now
            from deed
        ),
        advanced as (
            update control_planes set config_version = :version, config_hash = :config_hash,
                   config_changed_at = :config_changed_at, entity_count = :entity_count, config_bytes = :config_bytes
            where org_id = :org_id and id = :control_plane_id
        )
    select pg_notify(:channel, :payload)
    """
)
_ADVANCED: Final = ("config_version", "config_hash", "config_changed_at", "entity_count", "config_bytes")


@dataclass(frozen=True, slots=True)
class Change:
    """One entity's change. `before` and `after` are its documents with secrets sealed; None: not there.

    `action`, `subject_type` and `details` are for the audit trail; `details` holds no secrets.
    """

    seq: int
    entity_type: str
    entity_id: UUID
    operation: str
    before: Document | None
    after: Document | None
    action: str
    subject_type: str
    details: Document


def append(
    session: TenantSession,
    control_plane: ControlPlane,
    changes: Sequence[Change],
    actor: Actor | SystemActor,
    now: datetime,
) -> None:
    """Write down the newest version of a locked control plane and what it changed, and tell runtimes of it at commit."""
    version = control_plane.config_version
    state = {name: getattr(control_plane, name) for name in _ADVANCED}
    for name, value in state.items():
        set_committed_value(control_plane, name, value)  # the session has nothing left to write of them
    place: dict[str, Any] = {
        "org_id": session.org_id,
        "control_plane_id": control_plane.id,
        "version": version,
        **state,
        "actor": actor.label,
        "request_id": actor.request_id,
        "now": now,
        "channel": CONFIG_CHANNEL,
        "payload": f"{session.org_id} {control_plane.id} {version}",
    }
    for content in _contents(changes):
        session.execute(_APPEND, {**place, "changes": content})


def _contents(changes: Sequence[Change]) -> Iterator[str]:
    for start in range(0, len(changes), _MOST_AT_ONCE):
        part = [
            {name: getattr(change, name) for name in Change.__slots__} | {"entity_id": str(change.entity_id)}
            for change in changes[start : start + _MOST_AT_ONCE]
        ]
        yield json.dumps(part, ensure_ascii=False, separators=(",", ":"))

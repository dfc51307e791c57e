"""What travels from the control plane to a gateway runtime: a whole configuration, or the step to the next one.

Both are JSON. A runtime applies them all or nothing; a delta fits only on the version it starts from.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schema.base import Document
from schema.errors import violations_of
from schema.types import Cidr, HeaderName

FORMAT: Final = 1
ANY_HOST: Final = "*"
"""Selects the tenant for every host that no other tenant has."""
EMPTY_CONFIG_HASH: Final = 32 * "0"
"""The configuration hash of a control plane without entities. Source: Kong Gateway, which says the same of an empty one."""
MOST_CONFIG_BYTES: Final = 256 * 1024 * 1024
"""No installation lets a control plane hold more than this, as stored."""
MOST_UPDATE_BYTES: Final = 2 * MOST_CONFIG_BYTES
"""Runtimes read no larger update; twice as much, for fields that were declared after an entity was written."""

RouterFlavor = Literal["traditional_compatible", "expressions", "traditional"]
"""The first two are one here: any route may have an expression. The last ranks by its own rules."""


class SnapshotError(ValueError):
    """Bytes that are no update of this format; the message says where."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class GatewaySettings(_Part):
    """Settings of the gateway that serves one control plane."""

    router_flavor: RouterFlavor = "traditional_compatible"
    """How routes are matched and ranked."""
    trusted_ips: tuple[Cidr, ...] = ()
    """Peers whose forwarding headers are believed."""
    real_ip_header: HeaderName = "X-Real-IP"
    """Where a trusted peer puts the client's address; `proxy_protocol`: before the first request, by that protocol."""
    real_ip_recursive: bool = False
    """Whether addresses in it that are trusted peers' themselves are passed over."""
    headers: tuple[str, ...] = ("server_tokens", "latency_tokens", "X-Kong-Request-Id")
    """Which headers the gateway adds by itself."""
    credential_key: str | None = None
    """32 bytes in base64, the control plane's own: keys the hashes of credentials (schema/credentials.py)."""


class Limits(_Part):
    """Bounds for one tenant."""

    allow_upstream: tuple[Cidr, ...] = ()
    """Private and link-local ranges that upstreams may nevertheless be in."""
    max_body_bytes: int = Field(default=128 * 1024 * 1024, ge=0)
    """Largest request body."""
    max_requests_per_second: int | None = Field(default=None, ge=0)
    """Requests and new streams per second on one runtime, with a burst of one second; null for no limit, as below."""
    max_concurrent_requests: int | None = Field(default=None, ge=0)
    """Requests and streams at once on one runtime."""
    max_connections: int | None = Field(default=None, ge=0)
    """Client connections at once on one runtime."""


class _Update(_Part):
    format: Literal[1] = FORMAT
    organization_id: str
    control_plane_id: str
    version: int = Field(ge=0)
    hosts: tuple[str, ...]
    """Lower case, without port; `*` for every host not otherwise known."""
    config_hash: str = EMPTY_CONFIG_HASH
    """The control plane's name for its entities at this version; runtimes say it when they report what they run."""
    settings: GatewaySettings = GatewaySettings()
    limits: Limits = Limits()

    def to_bytes(self) -> bytes:
        """Compact UTF-8 JSON."""
        return self.model_dump_json().encode()

    def content_hash(self) -> str:
        """SHA-256 in hex over everything but what names the version: equal content, equal hash."""
        content = self.model_dump(mode="json", exclude={"version", "from_version", "config_hash"})
        return hashlib.sha256(_canonical(content)).hexdigest()


class Snapshot(_Update):
    """A complete configuration. Entities are complete documents: every field present, null where unset."""

    kind: Literal["snapshot"] = "snapshot"
    entities: dict[str, list[Document]]


class Change(_Part):
    """One step: an entity as it is now, or its end."""

    operation: Literal["put", "delete"]
    type: str
    """Plural name of the kind of entity."""
    id: str
    entity: Document | None = None
    """Present with `put`."""


class Delta(_Update):
    """The changes after `from_version`, up to and with `version`; at most one per entity, in order."""

    kind: Literal["delta"] = "delta"
    from_version: int = Field(ge=0)
    changes: tuple[Change, ...]

    def to_bytes(self) -> bytes:
        document = self.model_dump(mode="json")
        for change in document["changes"]:
            if change["entity"] is None:
                del change["entity"]
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def parse_update(data: bytes) -> Snapshot | Delta:
    """Read a snapshot or delta.

    Raises: SnapshotError: not JSON, another format, or a field that does not fit. The text holds no entity values.
    """
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SnapshotError("the update is not JSON") from error
    if not isinstance(document, dict):
        raise SnapshotError("the update is not an object")
    kind: Any = document.get("kind")
    if document.get("format") != FORMAT or kind not in {"snapshot", "delta"}:
        raise SnapshotError(f"the update is not of format {FORMAT}")
    try:
        return Snapshot.model_validate(document) if kind == "snapshot" else Delta.model_validate(document)
    except ValidationError as error:
        first = violations_of(error)[0]
        raise SnapshotError(f"{first.field}: {first.message}") from error


def apply_delta(snapshot: Snapshot, delta: Delta) -> Snapshot:
    """The snapshot after a delta; what a runtime keeps on disk.

    Raises: SnapshotError: the delta starts from another version or belongs to another control plane.
    """
    same = (snapshot.organization_id, snapshot.control_plane_id) == (delta.organization_id, delta.control_plane_id)
    if not same or delta.from_version != snapshot.version:
        raise SnapshotError("the delta does not start from this snapshot")
    kinds: dict[str, dict[str, Document]] = {
        plural: {str(document["id"]): document for document in documents}
        for plural, documents in snapshot.entities.items()
    }
    for change in delta.changes:
        kind = kinds.setdefault(change.type, {})
        if change.entity is None:
            kind.pop(change.id, None)
        else:
            kind[change.id] = change.entity
    return Snapshot(
        organization_id=snapshot.organization_id,
        control_plane_id=snapshot.control_plane_id,
        version=delta.version,
        hosts=delta.hosts,
        config_hash=delta.config_hash,
        settings=delta.settings,
        limits=delta.limits,
        entities=sorted_entities({plural: kind.values() for plural, kind in kinds.items()}),
    )


def sorted_entities(entities: Mapping[str, Iterable[Document]]) -> dict[str, list[Document]]:
    """Each kind ordered by id, so that equal configurations have equal hashes."""
    return {plural: sorted(kind, key=lambda document: str(document["id"])) for plural, kind in entities.items()}


def _canonical(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

"""Encryption of the leaves that the schema marks as sealed. Only sealed forms reach the database."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from core.crypto import KeyRing, OrganizationKey
from core.models.organization import Organization
from schema.base import Document, Entity
from schema.registry import Registry

_SEALED: Final = "$sealed"


class Sealer:
    """Seals and opens documents of one control plane; the organization's key is given, or read when first needed."""

    def __init__(
        self,
        session: Session | None,
        keyring: KeyRing,
        declarations: Registry,
        org_id: UUID,
        control_plane_id: UUID,
        key: OrganizationKey | None = None,
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._declarations = declarations
        self._org_id = org_id
        self._control_plane_id = control_plane_id
        self._key = key

    def beside(self, control_plane_id: UUID) -> "Sealer":
        """The same for another control plane of the organization."""
        return Sealer(self._session, self._keyring, self._declarations, self._org_id, control_plane_id, self._key)

    def seal(self, entity: type[Entity], document: Document) -> Document:
        """A copy with every marked leaf encrypted, bound to its place."""

        def apply(place: str, value: Any) -> Any:
            if not isinstance(value, str):
                return value
            table, row = entity.spec.plural, self._row(document)
            return {_SEALED: self._keyring.seal(self._organization_key(), table, row, place, value)}

        return self._walk(entity, document, apply)

    def open(self, entity: type[Entity], document: Document) -> Document:
        """A copy with every sealed leaf in clear. A leaf stored before it was marked is clear already."""

        def apply(place: str, value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            table, row = entity.spec.plural, self._row(document)
            return self._keyring.open(self._organization_key(), table, row, place, value[_SEALED])

        return self._walk(entity, document, apply)

    def digest(self, entity: type[Entity], field: str, value: str) -> bytes:
        """32 bytes by which a sealed value is found, and found to be unique, within the control plane."""
        return self._keyring.lookup_hash(self._org_id, f"{entity.spec.plural}/{self._control_plane_id}", field, value)

    def credential_key(self) -> bytes:
        """What the control plane's gateways hash presented credentials with."""
        return self._keyring.credential_key(self._organization_key(), self._control_plane_id)

    def _walk(self, entity: type[Entity], document: Document, apply: Callable[[str, Any], Any]) -> Document:
        changed: Any = document
        for path in self._declarations.sealed_paths(entity, document):
            changed = _at(changed, path, "", apply)
        return changed

    def _row(self, document: Mapping[str, Any]) -> str:
        return f"{self._control_plane_id}/{document['id']}"

    def _organization_key(self) -> OrganizationKey:
        if self._key is None:
            assert self._session is not None
            organization = self._session.get(Organization, self._org_id)
            assert organization is not None
            self._key = OrganizationKey(self._org_id, organization.data_key)
        return self._key


def _at(value: Any, path: tuple[str, ...], place: str, apply: Callable[[str, Any], Any]) -> Any:
    """A copy of `value` in which the leaves at `path` have changed; what is not on the path is shared."""
    if not path:
        return apply(place, value)
    step, rest = path[0], path[1:]
    if step == "**":
        return _below(value, place, apply)
    if isinstance(value, dict):
        members: dict[str, Any] = value
        names = list(members) if step == "*" else [step] if step in members else []
        if not names:
            return members
        changed = {name: _at(members[name], rest, f"{place}.{name}" if place else name, apply) for name in names}
        return {**members, **changed}
    if isinstance(value, list) and step == "*":
        entries: list[Any] = value
        return [_at(entry, rest, f"{place}[{index}]", apply) for index, entry in enumerate(entries)]
    return value


def _below(value: Any, place: str, apply: Callable[[str, Any], Any]) -> Any:
    """A copy of `value` in which every leaf has changed."""
    if isinstance(value, dict) and _SEALED not in value:
        members: dict[str, Any] = value
        return {name: _below(item, f"{place}.{name}", apply) for name, item in members.items()}
    if isinstance(value, list):
        entries: list[Any] = value
        return [_below(entry, f"{place}[{index}]", apply) for index, entry in enumerate(entries)]
    return apply(place, value)

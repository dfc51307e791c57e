"""Examples of every request and response in the OpenAPI documents.

Made from the schemas, which is to say from the declarations: a value that a schema names itself (`examples`, `const`,
`default`, `enum`) comes first, then one for the field's name, then one of its type. Entities bring bodies of their own
(`EntitySpec.example`). A test holds every example against its schema.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schema.base import Document, Entity
from schema.errors import SchemaViolation
from schema.registry import Registry

Json = dict[str, Any]

IDENTIFIER: Final = "9c1f0b7e-5d0a-4c7b-8f5e-2d6a1b3c4e5f"
_MOMENT: Final = "2026-03-01T09:30:00.000Z"
_SECONDS: Final = 1_772_357_400
_PEM: Final = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----"
_HASH: Final = "0f343b0931126a20f133d67c2b018a3b"
_PREFIX: Final = "#/components/schemas/"

# What fields of hand-written bodies hold, by name; the first that fits its schema's type is taken.
_BY_NAME: Final[Mapping[str, Any]] = {
    "cert": _PEM,
    "cluster_cert": _PEM,
    "cluster_cert_key": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
    "config_hash": _HASH,
    "config_version": "42",
    "conflicts": [],
    "control_plane_endpoint": "https://3f2a9c1b.us.cp.sluice.example.com",
    "created_at": (_MOMENT, _SECONDS),
    "description": "what the shop's apps call",
    "email": "ada@example.com",
    "environment": [{"name": "KONG_LOG_LEVEL", "value": "info"}],
    "expected_config_version": "42",
    "expected_hash": _HASH,
    "expires_at": "2026-09-01T09:30:00.000Z",
    "fields": [],
    "first": "/v2/control-planes?page[size]=100",
    "full_name": "Ada Lovelace",
    "gateway_endpoint": "3f2a9c1b.us.gateways.example.com",
    "host": "api.example.com",
    "hostname": "gateway-1",
    "hostnames": ["3f2a9c1b.us.gateways.example.com"],
    "inferred_region": "eu",
    "instance_types": [],
    "issues": [],
    "key": "backend-token",
    "kind": "serverless.v1",
    "konnect_token": "kpat_…",
    "labels": {"team": "shop"},
    "last_ping": _SECONDS,
    "last_used_at": _MOMENT,
    "lua_schema": 'return { name = "greeting", fields = {} }',
    "login_path": "example",
    "message": "the node is of an older release than its control plane",
    "name": "shop",
    "next": None,
    "node_version": "3.9.0.0",
    "number": 1,
    "offset": None,
    "page": 1,
    "pageCount": 1,
    "port": 443,
    "preferred_name": "Ada",
    "prefix": "3f2a9c1b",
    "previous": None,
    "protocol": "https",
    "providers": [],
    "proxy_urls": [{"host": "api.example.com", "port": 443, "protocol": "https"}],
    "reason": "",
    "region": "us",
    "reported_status": "ready",
    "retention_period_days": 30,
    "revoked_at": None,
    "revoked_by": None,
    "size": 10,
    "state": ("ready", "active"),
    "state_metadata": None,
    "telemetry_endpoint": "https://3f2a9c1b.us.tp0.sluice.example.com",
    "title": "gateway-1",
    "total": 1,
    "total_count": 1,
    "ttl_seconds": 2_592_000,
    "updated_at": (_MOMENT, _SECONDS),
    "value": "open-sesame",
    "version": "3.10.0.0",
    "versions": ["3.10"],
}
_BY_TYPE: Final[Mapping[str, Any]] = {
    "integer": 1,
    "number": 1,
    "boolean": True,
    "null": None,
}
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class NoExample(LookupError):
    """Nothing says what a text may be; made-up words would help nobody."""


class Examples:
    """Examples for the schemas of one document; `known` are those that schemas of these names have already."""

    def __init__(self, schemas: Mapping[str, Json], known: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._known = dict(known)

    def of(self, schema: Json, *, written: bool = False) -> Any:
        """A value for a schema. `written`: of a request, which says what it has to and leaves out the rest."""
        return self._of(schema, "", written, ())

    def _of(self, schema: Json, name: str, written: bool, above: tuple[str, ...]) -> Any:
        if "$ref" in schema:
            return self._component(schema["$ref"].removeprefix(_PREFIX), written, above)
        for found in (*_said(schema), *_named(name, schema), *schema.get("enum", ())):
            return found
        for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            if choice != {"type": "null"}:
                return self._of(choice, name, written, above)
        return self._by_type(schema, name, written, above)

    def _by_type(self, schema: Json, name: str, written: bool, above: tuple[str, ...]) -> Any:
        kind = _kinds(schema)[0]
        if kind == "object":
            return self._record(schema, written, above)
        if kind == "array":
            item: Json = schema.get("items", {})
            return [] if not item or _loops(item, above) else [self._of(item, name, written, above)]
        if schema.get("format") == "uuid":
            return IDENTIFIER
        if kind not in _BY_TYPE:
            raise NoExample(f"say in api/examples.py, or in its declaration, what {name or schema} may be")
        return _BY_TYPE[kind]

    def _component(self, name: str, written: bool, above: tuple[str, ...]) -> Any:
        if name not in self._known:
            self._known[name] = self._of(self._schemas[name], "", written, (*above, name))
        return self._known[name]

    def _record(self, schema: Json, written: bool, above: tuple[str, ...]) -> Json:
        required = set(schema.get("required", ()))
        return {
            name: self._of(part, name, written, above)
            for name, part in schema.get("properties", {}).items()
            if name in required or not (written or _loops(part, above))
        }


def of_entity(entity: type[Entity], declarations: Registry) -> dict[str, Any]:
    """Examples of an entity: as it is sent, changed, read and listed, by the names of the schemas."""
    spec = entity.spec
    sent = dict(spec.example)
    read = _read(entity, declarations)
    name, value = list(sent.items())[-1]
    return {
        f"{spec.title}Input": sent,
        f"{spec.title}Change": {name: value},
        spec.title: read,
        f"{spec.title}Page": {"data": [read], "next": None, "offset": None},
    }


def _read(entity: type[Entity], declarations: Registry) -> Document:
    """What comes back for the example: complete where it is, as it stands, a valid entity."""
    parents = {item.name for item in entity.references() if item.ref.nested and _is_required(entity, item.name)}
    body: Document = {**entity.spec.example, **{name: {"id": IDENTIFIER} for name in parents}}
    try:
        document = declarations.parse(entity, body)
    except SchemaViolation:  # keys and certificates without their insides
        document = {name: _default(entity, name) for name in entity.model_fields} | body
    shown = {
        **entity.presented(document, declarations),
        **{name: value for name, value in body.items() if isinstance(value, str)},
        "id": IDENTIFIER,
        "created_at": _SECONDS,
        "updated_at": _SECONDS,
    }
    left_out = {name for name, info in entity.model_fields.items() if info.exclude} | entity.spec.hidden
    variant = entity.spec.variant
    if variant is not None:
        left_out |= variant.when_unset if shown[variant.switch] is not None else variant.when_set
    return {name: value for name, value in shown.items() if name not in left_out}


def _is_required(entity: type[Entity], name: str) -> bool:
    return entity.model_fields[name].is_required()


def _default(entity: type[Entity], name: str) -> Any:
    info = entity.model_fields[name]
    return None if info.is_required() else info.get_default(call_default_factory=True)


def _said(schema: Json) -> Iterator[Any]:
    """What a schema itself says a value is."""
    yield from schema.get("examples", ())
    if "const" in schema:
        yield schema["const"]
    if schema.get("default") not in (None, ""):
        yield schema["default"]


def _named(name: str, schema: Json) -> Iterator[Any]:
    """What a field of this name holds, if that is something for this schema."""
    if name not in _BY_NAME:
        return
    found: Any = _BY_NAME[name]
    for value in found if isinstance(found, tuple) else (found,):  # pyright: ignore[reportUnknownVariableType]
        if any(_is_a(value, kind) for kind in _kinds(schema)) and value in schema.get("enum", (value,)):
            yield value


def _is_a(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _kinds(schema: Json) -> list[str]:
    """The types that a schema takes."""
    if "$ref" in schema:
        return ["object"]
    kind: Any = schema.get("type")
    if kind is None:
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        return [found for choice in choices for found in _kinds(choice)] or ["object"]
    return kind if isinstance(kind, list) else [kind]


def _loops(schema: Json, above: tuple[str, ...]) -> bool:
    """Whether a schema leads back to one that is being worked on."""
    return any(f"{_PREFIX}{name}" in str(schema) for name in above)

"""The reference of plugins: an index and a page each, from their declarations."""

from __future__ import annotations

import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

import yaml

from schema.notation import record_notation
from schema.plugin_examples import EXAMPLES
from schema.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.base import PluginConfig
    from schema.notation import Notation

INDEX = "README.md"
_SCOPES = ("service", "route", "consumer", "consumer_group")
_INDEX_HEAD = """# Plugins

Generated from the declarations by `make gen`. Every plugin can be configured; those with a version in *gateways* run on Sluice's own gateways
since then. The others are refused by control planes of such gateways, with the reason, and are for control planes whose nodes their owners
run themselves.

Plugins run in the order of their priorities, the highest first.

| Plugin | What it does | Gateways | Priority | Scopes | Protocols |
|---|---|---|---|---|---|
"""
_FIELDS_HEAD = """
## Configuration

*Required* fields have no default. *Encrypted* ones are unreadable at rest; *referenceable* ones may be `{vault://…}` instead, on gateways
that resolve such references.

| Field | Type | Default | Meaning |
|---|---|---|---|
"""


def render() -> dict[str, str]:
    """Markdown by the name of its file."""
    plugins = registry().plugins
    index = [_INDEX_HEAD, *(_index_row(config) for config in plugins.values())]
    return {INDEX: "".join(index)} | {f"{name}.md": _page(config) for name, config in plugins.items()}


def _summary(config: type[PluginConfig]) -> str:
    """What a plugin does: the first sentence of its module."""
    text = " ".join((inspect.getdoc(sys.modules[config.__module__]) or "").split("\n\n")[0].split())
    sentence = text.partition(": ")[2]
    return sentence[:1].upper() + sentence[1:]


def _gateways(config: type[PluginConfig]) -> str:
    return "not yet" if config.spec.since is None else f"since {config.spec.since}"


def _scopes(config: type[PluginConfig]) -> str:
    return ", ".join(["global", *(scope.replace("_", " ") for scope in _SCOPES if scope in config.spec.scopes)])


def _index_row(config: type[PluginConfig]) -> str:
    spec = config.spec
    cells = [f"[{spec.name}]({spec.name}.md)", _cell(_summary(config)), _gateways(config), str(spec.priority)]
    return "| " + " | ".join([*cells, _scopes(config), ", ".join(spec.protocols)]) + " |\n"


def _page(config: type[PluginConfig]) -> str:
    spec = config.spec
    facts = {
        "Sluice's gateways": _gateways(config),
        "Priority": str(spec.priority),
        "Scopes": _scopes(config),
        "Protocols": ", ".join(spec.allowed_protocols),
        "Parts from partials": ", ".join(f"`{path}` ({kind})" for kind, path in spec.partials),
    }
    lines = [
        f"# {spec.name}\n\nGenerated from the declaration by `make gen`. [All plugins]({INDEX})\n\n{_summary(config)}\n\n"
    ]
    lines += ["| | |\n|---|---|\n", *(f"| {name} | {fact} |\n" for name, fact in facts.items() if fact)]
    lines += [_FIELDS_HEAD, *(_field_row(*row) for row in _fields(record_notation(config), "config"))]
    return "".join([*lines, _example(config)])


def _fields(record: Notation, path: str) -> Iterator[tuple[str, Notation]]:
    """All fields with their dotted paths, those within records behind the record."""
    for entry in record["fields"]:
        for name, field in entry.items():
            place = f"{path}.{name}"
            yield place, field
            if field["type"] == "record":
                yield from _fields(field, place)
            elif field.get("elements", {}).get("type") == "record":
                yield from _fields(field["elements"], f"{place}[]")
            elif field.get("values", {}).get("type") == "record":
                yield from _fields(field["values"], f"{place}.*")
    for entry in record.get("shorthand_fields", []):
        for name, field in entry.items():
            instead = ".".join([path, *field["translate_backwards"]]) if "translate_backwards" in field else None
            yield f"{path}.{name}", {**field, "description": f"Old name of `{instead}`." if instead else "Shorthand."}


def _field_row(path: str, field: Notation) -> str:
    notes = [note for mark, note in (("encrypted", "encrypted"), ("referenceable", "referenceable")) if field.get(mark)]
    if "deprecation" in field:
        notes.append("deprecated")
    meaning = " ".join([field.get("description", ""), f"*{', '.join(notes).capitalize()}.*" if notes else ""]).strip()
    if "default" in field:
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`"
    else:
        default = "*required*" if field.get("required") and field["type"] != "record" else ""
    return f"| `{path}` | {_type(field)} | {_cell(default)} | {_cell(meaning)} |\n"


def _type(field: Notation) -> str:
    kind = str(field["type"])
    if kind in {"array", "set"}:
        kind = f"{kind} of {_type(field['elements'])}"
    elif kind == "map":
        kind = f"map of {_type(field['values'])}"
    parts = [kind]
    if "one_of" in field:
        parts.append("one of " + ", ".join(f"`{value}`" for value in field["one_of"]))
    if "between" in field:
        parts.append("{} to {}".format(*field["between"]))
    if "gt" in field:
        parts.append(f"more than {field['gt']}")
    if "len_min" in field:
        parts.append(f"length at least {field['len_min']}")
    return ", ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _example(config: type[PluginConfig]) -> str:
    name, example = config.spec.name, EXAMPLES[config.spec.name]
    scope = next((scope for scope in ("service", "route") if scope in config.spec.scopes), None)
    path = "plugins" if scope is None else f"{scope}s/orders/plugins"
    body = json.dumps({"name": name, "config": example.config}, indent=2, ensure_ascii=False)
    owner: dict[str, Any] = {} if scope is None else {scope: "orders"}
    deck = {"_format_version": "3.0", "plugins": [{"name": name, **owner, "config": example.config}]}
    fences = [
        ("With curl", "sh", _curl(path, body)),
        ("With decK", "yaml", yaml.safe_dump(deck, sort_keys=False, allow_unicode=True, width=100).rstrip()),
        ("With Terraform", "hcl", _terraform(name, scope, example.config)),
    ]
    whole = [f"\n## Example\n\n{example.purpose}\n"]
    whole += [f"\n{title}:\n\n```{language}\n{text}\n```\n" for title, language, text in fences]
    return "".join(whole)


def _curl(path: str, body: str) -> str:
    quoted = body.replace("'", "'\\''")
    return (
        f'curl -X POST "$SLUICE_API/v2/control-planes/$CONTROL_PLANE_ID/core-entities/{path}" \\\n'
        f"  -H \"Authorization: Bearer $SLUICE_PAT\" \\\n  --json '{quoted}'"
    )


def _terraform(name: str, scope: str | None, config: dict[str, Any]) -> str:
    resource = f'resource "konnect_gateway_plugin_{name.replace("-", "_")}" "orders" {{'
    lines = [resource, "  control_plane_id = konnect_gateway_control_plane.main.id"]
    if scope is not None:
        lines.append(f"  {scope} = {{ id = konnect_gateway_{scope}.orders.id }}")
    lines += [f"  config = {_hcl(config, 1)}", "}"]
    return "\n".join(lines)


def _hcl(value: Any, depth: int) -> str:
    """A value in HashiCorp's notation; the texts of examples hold no templates of it."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        members: dict[str, Any] = value
        if not members:
            return "{}"
        lines = [f"{inner}{_hcl_key(key)} = {_hcl(item, depth + 1)}" for key, item in members.items()]
        return "\n".join(["{", *lines, f"{outer}}}"])
    if isinstance(value, list):
        entries: list[Any] = value
        if not any(isinstance(item, dict) for item in entries):
            return f"[{', '.join(_hcl(item, depth) for item in entries)}]"
        return "\n".join(["[", *(f"{inner}{_hcl(item, depth + 1)}," for item in entries), f"{outer}]"])
    return json.dumps(value, ensure_ascii=False)


def _hcl_key(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key)

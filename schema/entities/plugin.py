"""The plugin: one use of a plugin on everything, or on a service, route or consumer."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, ValidationError

from schema import partial_links
from schema.aliases import AliasConflict, lay_over, shown, unfold
from schema.base import (
    WEB_AND_WEBSOCKET,
    Catalog,
    Document,
    Entity,
    EntitySpec,
    PluginConfig,
    Record,
    Ref,
    Unique,
    alias_places,
    gateway_faults,
    sealed_paths,
)
from schema.custom_plugins import CustomPlugin, custom_plugin
from schema.errors import Violation, violations_of
from schema.marks import Auto
from schema.protocols import GRPC, HTTP, Protocols
from schema.types import Name, Reference, Rule, ShortText, Text, Uuid, items, length
from schema.validation import broken_rules, nested_faults
from schema.walk import marked

_SCOPES: Final = ("service", "route", "consumer", "consumer_group")
_NOT_HERE: Final = "plugin '{}' is not available on this gateway yet: only control planes of nodes of your own take it"
_NO_STREAMS: Final = "this plugin is not available on streams of this gateway: name protocols that carry requests"
_NO_CONDITIONS: Final = (
    "conditions are not available on this gateway: only control planes of nodes of your own take them"
)


class OrderedPhases(Record):
    """Plugins by phase."""

    access: Annotated[list[ShortText], items(maximum=64)] | None = None
    """Names of plugins in the access phase, the only one whose order can be chosen."""


class Ordering(Record):
    """A place in the order of plugins. Wishes that contradict one another are refused."""

    before: OrderedPhases | None = None
    """Plugins that run later."""
    after: OrderedPhases | None = None
    """Plugins that run earlier."""


def _check_link(link: dict[str, Any]) -> str | None:
    return None if link["id"] is not None or link["name"] is not None else "missing primary key"


class PartialLink(Record):
    """A partial that stands for a part of the configuration; named by its id or its name."""

    id: Uuid | None = None
    """Id of the partial."""
    name: ShortText | None = None
    """Name of the partial."""
    path: ShortText | None = None
    """The part, as `config.redis`; chosen by the partial's type unless given."""


PartialLinks = Annotated[
    list[Annotated[PartialLink, Rule(lambda link: _check_link(link.model_dump()))]], items(maximum=16)
]


class Plugin(Entity):
    """One configured use of a plugin. Without a reference it applies to every request of the control plane."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="plugins",
        singular="plugin",
        natural_key="instance_name",
        unique=(Unique(("instance_name",)), Unique(("name", *_SCOPES), nulls_equal=True)),
        filters=("name", "instance_name"),
        config_by="name",
        rare=("ordering",),
        example={
            "name": "rate-limiting",
            "instance_name": "orders-limit",
            "config": {"minute": 60, "policy": "local"},
        },
    )

    name: ShortText
    """Which plugin."""
    instance_name: Name | None = None
    """Unique name of this use, usable instead of the id."""
    config: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The plugin's own configuration, complete after writing."""
    enabled: bool = True
    """A disabled plugin is ignored, so a less specific one may apply."""
    protocols: Protocols = Field(default=[*GRPC, *HTTP])
    """Request protocols it applies to; the default comes from the plugin."""
    service: Annotated[Reference | None, Ref("services", on_delete="cascade", nested=True)] = None
    """Applies to requests for this service only."""
    route: Annotated[Reference | None, Ref("routes", on_delete="cascade", nested=True)] = None
    """Applies to requests matched by this route only."""
    consumer: Annotated[Reference | None, Ref("consumers", on_delete="cascade", nested=True)] = None
    """Applies to requests of this consumer only."""
    consumer_group: Annotated[Reference | None, Ref("consumer_groups", on_delete="cascade", nested=True)] = None
    """Applies to requests of this group's consumers only."""
    ordering: Ordering | None = None
    """Which plugins it runs before or after in the access phase, where priorities are not as wanted."""
    partials: Annotated[PartialLinks | None, Ref("partials", on_delete="restrict", merged=True)] = None
    """Parts of the configuration that are kept elsewhere, and shared with other plugins."""
    condition: Annotated[Text, length(1, 1024)] | None = None
    """Expression over a request that decides whether it applies; for nodes of the owner's own."""

    @classmethod
    def nested_records(cls) -> frozenset[str]:
        return super().nested_records() | {"config"}

    @classmethod
    def config_of(cls, kind: str, catalog: Catalog) -> type[PluginConfig] | None:
        return catalog.plugin_config(kind)

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        name: Any = document.get("name")
        whole: Document = {**document, "config": _or_default(document, "config", {})}
        found: list[Violation] = []
        if not isinstance(whole["config"], dict):
            found.append(Violation("config", "expected a record"))
            whole["config"] = {}
        if not isinstance(name, str) or not name:
            return whole, found
        declared = catalog.plugin_config(name) or custom_plugin(name, catalog)
        if declared is None or isinstance(declared, str):
            text = declared or f"plugin '{name}' not enabled; add it to the 'plugins' configuration property"
            return whole, [*found, Violation("name", text)]
        spec = declared.spec
        whole["protocols"] = _or_default(document, "protocols", list(spec.protocols))
        found.extend(
            Violation(scope, "value must be null")
            for scope in _SCOPES
            if scope not in spec.scopes and whole.get(scope) is not None
        )
        if isinstance(whole["protocols"], list):
            found.extend(
                Violation(f"protocols[{index}]", f"expected one of: {', '.join(spec.allowed_protocols)}")
                for index, protocol in enumerate(whole["protocols"])
                if isinstance(protocol, str) and protocol not in spec.allowed_protocols
            )
        completed, links, wrong_links = partial_links.resolve(document.get("partials"), spec, catalog)
        if completed:
            whole["partials"] = completed
        found.extend(wrong_links)
        if not any(violation.field == "config" for violation in found):
            given = partial_links.put_in(whole["config"], links)
            own = isinstance(declared, CustomPlugin)
            config, wrong = declared.complete(given) if own else _complete_config(declared, given)
            whole["config"] = partial_links.take_out(config, links)
            found.extend(violation.below("config") for violation in wrong)
        return whole, found

    @classmethod
    def lay_over(cls, stored: Document, change: Document, catalog: Catalog) -> Document:
        merged = super().lay_over(stored, change, catalog)
        declared = catalog.plugin_config(str(merged["name"]))
        given, below = change.get("config"), stored.get("config")
        if declared is not None and isinstance(given, dict) and isinstance(below, dict):
            merged["config"] = lay_over(declared.aliases, given, below)
        return merged

    @classmethod
    def presented(cls, document: Document, catalog: Catalog) -> Document:
        declared = catalog.plugin_config(document["name"])
        places = () if declared is None else alias_places(declared)
        return {**document, "config": shown(places, document["config"])} if places else document

    @classmethod
    def gateway_faults(cls, document: Document, catalog: Catalog) -> list[Violation]:
        declared = catalog.plugin_config(document["name"])
        if declared is None or declared.spec.since is None:
            return [Violation("name", _NOT_HERE.format(document["name"]))]
        if not declared.spec.streams and not set(document["protocols"]) <= set(WEB_AND_WEBSOCKET):
            return [Violation("protocols", _NO_STREAMS)]
        config = cls.merged(document, catalog)["config"]
        wrong = gateway_faults(declared, config)
        wrong += [violation for check in declared.spec.gateway_checks for violation in check.violations(config)]
        found = [violation.below("config") for violation in wrong]
        if document["condition"] is not None:
            found.append(Violation("condition", _NO_CONDITIONS))
        return found

    @classmethod
    def merged(cls, document: Document, catalog: Catalog) -> Document:
        declared = catalog.plugin_config(document["name"])
        if declared is None or not document["partials"]:
            return document
        _, links, _ = partial_links.resolve(document["partials"], declared.spec, catalog)
        return {**document, "config": partial_links.put_in(document["config"], links)}

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {**document, "partials": None}  # what they say has been put in

    @classmethod
    def sealed_paths(cls, document: Mapping[str, Any], catalog: Catalog) -> tuple[tuple[str, ...], ...]:
        declared = catalog.plugin_config(document["name"])
        if declared is None:
            return (("config", "**"),)  # a plugin of its owner's: what is secret is not for us to tell
        return tuple(("config", *path) for path in sealed_paths(declared))

    @classmethod
    def own_notation(cls, kind: str, catalog: Catalog) -> Document | None:
        custom = custom_plugin(kind, catalog)
        return custom.notation if isinstance(custom, CustomPlugin) else None


def _or_default(document: Document, name: str, default: Any) -> Any:
    value = document.get(name)
    return default if value is None else value


def _complete_config(declared: type[PluginConfig], config: Document) -> tuple[Document, list[Violation]]:
    given = dict(config)
    for (name,), auto in marked(declared, Auto):
        if given.get(name) is None:
            given[name] = auto.make()
    try:
        complete = declared.model_validate(given).model_dump()
    except ValidationError as error:
        wrong = violations_of(error)
        return config, [*wrong, *broken_rules(declared.spec.checks, declared, _without_aliases(declared, given), wrong)]
    broken = broken_rules(declared.spec.checks, declared, complete, ())
    return complete, [*broken, *nested_faults(declared, complete)]


def _without_aliases(declared: type[PluginConfig], config: Document) -> Document:
    try:
        return unfold(declared.aliases, config, frozenset())
    except AliasConflict:
        return config

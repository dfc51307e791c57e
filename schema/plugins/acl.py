"""acl: which groups of consumers may pass."""

from typing import ClassVar

from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec
from schema.checks import AtLeastOneOf, ExactlyOneOf
from schema.plugin_types import Texts


class Acl(PluginConfig):
    """Lets consumers pass by their groups. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="acl",
        priority=950,
        since="0.1.0",
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
        checks=(AtLeastOneOf(("allow", "deny")), ExactlyOneOf(("allow", "deny"))),
    )

    allow: Texts | None = None
    """Groups that pass; nobody else does."""
    deny: Texts | None = None
    """Groups that do not pass; everybody else does."""
    hide_groups_header: bool = False
    """Whether the upstream is not told the groups."""
    always_use_authenticated_groups: bool = False
    """Whether groups that an authentication plugin found count even where there is a consumer."""
    include_consumer_groups: bool = False
    """Whether the names of consumer groups count as well."""

"""standard-webhooks: lets signed webhooks pass (the Standard Webhooks specification)."""

from typing import Annotated, ClassVar

from schema.base import ANY_SCOPE, PluginConfig, PluginSpec
from schema.plugin_types import SecretText, above
from schema.types import Integer


class StandardWebhooks(PluginConfig):
    """Checks signatures of webhooks. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="standard-webhooks", priority=759, scopes=ANY_SCOPE - {"consumer"})

    secret_v1: SecretText
    """Secret that webhooks are signed with."""
    tolerance_second: Annotated[Integer, above(-1)] = 300
    """Seconds that a webhook may be old."""

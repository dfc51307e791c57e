"""standard-webhooks: lets signed webhooks pass (the Standard Webhooks specification)."""

import re
from typing import Annotated, ClassVar, Final

from schema.base import ANY_SCOPE, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.plugin_types import SecretText, above
from schema.types import Integer

_ENCODED: Final = "whsec_"
_LARGEST: Final = 2**63 - 1
# Without stray bits in the last digit, as the engine has it.
_BASE64: Final = re.compile(
    r"(?=.)([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?", re.ASCII
)


def _secret_fault(secret: str) -> str | None:
    if secret.startswith(_ENCODED) and not _BASE64.fullmatch(secret.removeprefix(_ENCODED)):
        return f"what follows '{_ENCODED}' must be base64"
    return None


def _tolerance_fault(seconds: int) -> str | None:
    return None if seconds <= _LARGEST else f"value should be at most {_LARGEST}"


class StandardWebhooks(PluginConfig):
    """Checks signatures of webhooks. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="standard-webhooks", priority=759, since="0.1.0", scopes=ANY_SCOPE - {"consumer"}
    )

    secret_v1: Annotated[SecretText, GatewayRule(_secret_fault)]
    """Secret that webhooks are signed with: the key itself, or `whsec_` with the key in base64."""
    tolerance_second: Annotated[Integer, above(-1), GatewayRule(_tolerance_fault)] = 300
    """Seconds that a webhook may be old."""

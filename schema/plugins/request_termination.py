"""request-termination: answers instead of the upstream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from schema.base import PluginConfig, PluginSpec
from schema.errors import Violation
from schema.marks import GatewayRule
from schema.plugin_types import HeaderText, status_fault
from schema.types import HeaderName, Integer, Text, between


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """A message excludes a body of one's own, and a content type is nothing without a body."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"message", "body", "content_type", "echo"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        message, body, content_type = (document.get(name) is not None for name in ("message", "body", "content_type"))
        if message and (body or content_type):
            yield Violation("", "message cannot be used with content_type or body")
        if content_type and not body:
            yield Violation("", "content_type requires a body")
        if document.get("echo") and (body or content_type):
            yield Violation("", "echo cannot be used with content_type and body")


class RequestTermination(PluginConfig):
    """Answers with a status and a message or body. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="request-termination", priority=2, since="0.1.0", checks=(OneAnswer(),)
    )

    status_code: Annotated[Integer, between(100, 599), GatewayRule(status_fault)] = 503
    """Status of the answer. Those below 200 end no exchange (RFC 9110 section 15.2): our own gateways refuse them."""
    message: Text | None = None
    """Message of the answer, in a JSON object."""
    body: Text | None = None
    """Body of the answer, as it is."""
    content_type: HeaderText | None = None
    """Media type of `body`; JSON unless given."""
    echo: bool = False
    """Whether the answer tells the request, for debugging."""
    trigger: HeaderName | None = None
    """Header or query argument without which a request passes."""

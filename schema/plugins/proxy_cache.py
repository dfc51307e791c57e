"""proxy-cache: answers from memory what was asked before (RFC 9111)."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, create_model

from schema.base import EVERY_PROTOCOL, PluginConfig, PluginSpec, Record
from schema.plugin_types import Texts, above
from schema.types import Integer, Text, between, items


class Memory(Record):
    """Where responses are kept in memory."""

    dictionary_name: Text = "kong_db_cache"
    """Name of the shared memory."""


_HEADERS: Final[dict[str, Any]] = {
    name: (bool, Field(default=True, description=f"Whether `{header}` is set."))
    for name, header in (("age", "Age"), ("X-Cache-Status", "X-Cache-Status"), ("X-Cache-Key", "X-Cache-Key"))
}

if TYPE_CHECKING:

    class ResponseHeaders(Record):
        """Headers that tell clients about the cache."""

else:  # Users know the fields by the names of the headers, which are no names in Python.
    ResponseHeaders = create_model(
        "ResponseHeaders", __base__=Record, __doc__="Headers that tell clients about the cache.", **_HEADERS
    )


class ProxyCache(PluginConfig):
    """Keeps responses. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="proxy-cache", priority=100, since="0.1.0", allowed_protocols=EVERY_PROTOCOL
    )

    strategy: Literal["memory"]
    """Where responses are kept."""
    response_code: Annotated[list[Annotated[Integer, between(100, 900)]], items(minimum=1)] = Field(
        default=[200, 301, 404]
    )
    """Statuses that are kept."""
    request_method: Annotated[list[Literal["HEAD", "GET", "POST", "PATCH", "PUT"]], items()] = Field(
        default=["GET", "HEAD"]
    )
    """Methods whose responses are kept."""
    content_type: Texts = Field(default=["text/plain", "application/json"])
    """Media types that are kept, as the upstream writes them."""
    cache_ttl: Annotated[Integer, above(0)] = 300
    """Seconds for which a response is good."""
    storage_ttl: Integer | None = None
    """Seconds for which a response is kept, for clients that take stale ones (`max-stale`); unset: as long as it is good."""
    cache_control: bool = False
    """Whether what requests and responses say about caching counts."""
    ignore_uri_case: bool = False
    """Whether letter case in the path makes no difference."""
    vary_headers: Texts | None = None
    """Request headers that make a difference, besides those that say who asks."""
    vary_query_params: Texts | None = None
    """Query arguments that make a difference; unset: all."""
    memory: Memory = Field(default_factory=Memory)
    """Settings of the strategy `memory`."""
    response_headers: ResponseHeaders = Field(default_factory=ResponseHeaders)
    """Headers that tell clients about the cache."""

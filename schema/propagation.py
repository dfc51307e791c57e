"""Which headers carry traces between services."""

from typing import Annotated, Literal

from schema.base import Record
from schema.plugin_types import HeaderNames
from schema.types import items

Written = Literal["aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"]
HeaderType = Literal["preserve", "ignore", "aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"]
_Read = Literal["aws", "b3", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"]
_Injected = Literal["preserve", "aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"]


class Propagation(Record):
    """Headers that are read, removed and written."""

    extract: Annotated[list[_Read], items(maximum=64)] | None = None
    """Formats that are looked for in requests, in this order."""
    clear: HeaderNames | None = None
    """Headers that are taken out once they were read."""
    inject: Annotated[list[_Injected], items(maximum=64)] | None = None
    """Formats that go upstream; `preserve`: the one that was found."""
    default_format: Written = "w3c"
    """Format that goes upstream where none was found."""

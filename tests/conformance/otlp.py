"""Reading OTLP's protobuf with the project's own generated types (opentelemetry-proto, package opentelemetry.proto)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from google.protobuf.message import Message

_REQUESTS: Final[dict[str, type[Message]]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_IDS: Final = {"traceId", "spanId", "parentSpanId"}


def decoded(signal: Literal["traces", "logs", "metrics"], data: bytes) -> Any:
    """An export request as OTLP/JSON has it, with attributes as maps and ids in hexadecimal digits.

    Raises: ValueError: it is no such message.
    """
    message = _REQUESTS[signal]()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return _readable(MessageToDict(message))


def _readable(node: Any) -> Any:
    if isinstance(node, list):
        return [_readable(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", node).items():
        if key == "attributes":
            result[key] = {item["key"]: _value(item.get("value", {})) for item in value}
        elif key == "body":
            result[key] = _value(value)
        elif key in _IDS:
            result[key] = base64.b64decode(value).hex()
        else:
            result[key] = _readable(value)
    return result


def _value(value: dict[str, Any]) -> Any:
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values", [])]
    if "kvlistValue" in value:
        return {item["key"]: _value(item.get("value", {})) for item in value["kvlistValue"].get("values", [])}
    return next(iter(value.values()), None)

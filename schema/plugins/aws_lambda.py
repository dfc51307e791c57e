"""aws-lambda: has a function of AWS Lambda answer.

Our own gateways call with keys of the configuration only: the identity of the machine is the operator's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from schema.addresses import asked_url_fault
from schema.base import NO_GROUP, PluginConfig, PluginSpec
from schema.checks import AllOrNoneOf
from schema.errors import Violation
from schema.marks import GatewayRule
from schema.plugin_types import CalledPort, SecretHeader, SecretText, status_fault
from schema.types import Host, Integer, Number, Text, Url, between

_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
_OWN_HOST: Final = re.compile(r"lambda\.[^.]+\.amazonaws\.com(\.cn)?")
_NEEDED: Final = {
    "aws_key": "this gateway has no identity of its own at AWS: keys are needed",
    "aws_secret": "this gateway has no identity of its own at AWS: keys are needed",
    "function_name": "this gateway needs the name of the function",
}


def _region_fault(region: str) -> str | None:
    return None if _REGION.fullmatch(region) else "not the name of a region"


def _host_fault(host: str) -> str | None:
    return asked_url_fault(f"https://{host}:443")


@dataclass(frozen=True, slots=True)
class Callable:
    """Everything that a call needs is in the configuration."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({*_NEEDED, "aws_region", "host"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        for name, why in _NEEDED.items():
            if document[name] is None:
                yield Violation(name, why)
        if document["aws_region"] is None and not _OWN_HOST.fullmatch(document["host"] or ""):
            yield Violation("aws_region", "this gateway needs the region that calls are signed for")


@dataclass(frozen=True, slots=True)
class PlainProxy:
    """The proxy is reached without TLS."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"proxy_url"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        url = document["proxy_url"]
        if url is not None and not url.startswith("http:"):
            yield Violation("", "proxy_url scheme must be http")


class AwsLambda(PluginConfig):
    """Calls a function instead of an upstream. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="aws-lambda",
        priority=750,
        since="0.1.0",
        scopes=NO_GROUP,
        checks=(AllOrNoneOf(("aws_key", "aws_secret")), PlainProxy()),
        gateway_checks=(Callable(),),
    )

    timeout: Number = 60_000
    """Longest wait for the function, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    aws_key: SecretHeader | None = None
    """Key id; unset: the identity of the machine."""
    aws_secret: SecretText | None = None
    """Secret of the key."""
    aws_assume_role_arn: SecretText | None = None
    """Role to take on."""
    aws_role_session_name: Text = "kong"
    """Name of the session in that role."""
    aws_sts_endpoint_url: Annotated[Url, GatewayRule(asked_url_fault)] | None = None
    """Where the role is asked for."""
    aws_region: Annotated[Host, GatewayRule(_region_fault)] | None = None
    """Region of the function."""
    aws_imds_protocol_version: Literal["v1", "v2"] = "v1"
    """How the machine's identity is asked for."""
    function_name: Text | None = None
    """Name or ARN of the function."""
    qualifier: Text | None = None
    """Version or alias of the function."""
    invocation_type: Literal["RequestResponse", "Event", "DryRun"] = "RequestResponse"
    """Whether the function's answer is waited for, or it is only started, or only the permission checked."""
    log_type: Literal["Tail", "None"] = "Tail"
    """Whether the end of the function's log is asked for."""
    host: Annotated[Host, GatewayRule(_host_fault)] | None = None
    """Where the function is called, instead of the region's own host."""
    port: CalledPort = 443
    """Port there."""
    disable_https: bool = False
    """Whether it is called without TLS."""
    ssl_verify: bool = True
    """Whether its certificate is verified."""
    unhandled_status: Annotated[Integer, between(100, 999), GatewayRule(status_fault)] | None = None
    """Status of the answer when the function failed; unset: 200 and alike."""
    forward_request_method: bool = False
    """Whether the function is told the method."""
    forward_request_uri: bool = False
    """Whether the function is told path and query."""
    forward_request_headers: bool = False
    """Whether the function is told the headers."""
    forward_request_body: bool = False
    """Whether the function is told the body."""
    is_proxy_integration: bool = False
    """Whether the function's answer says status, headers and body."""
    awsgateway_compatible: bool = False
    """Whether the function is told a request as AWS API Gateway does."""
    awsgateway_compatible_payload_version: Literal["1.0", "2.0"] = "1.0"
    """Version of that form."""
    proxy_url: Annotated[Url, GatewayRule(lambda _: "this gateway calls functions without a proxy")] | None = None
    """Proxy for the call."""
    skip_large_bodies: bool = True
    """Whether bodies that do not fit into memory are left out."""
    base64_encode_body: bool = True
    """Whether bodies are encoded in base64."""
    empty_arrays_mode: Literal["legacy", "correct"] = "legacy"
    """Whether empty arrays in the function's answer become empty objects."""
    preserve_lambda_api_error_code: bool = False
    """Whether the status of a refused call is passed on."""

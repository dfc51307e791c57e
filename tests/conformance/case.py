"""The strict model of a conformance case: what README.md says, as types. An unknown name anywhere is an error."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator


class CaseError(Exception):
    """A case or its file breaks a rule of the format."""


def as_text(value: object) -> object:
    """A YAML scalar where text is wanted; maps, lists and null are left for the type check to refuse."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value


def _as_pattern(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            message = f"not a regular expression: {error}"
            raise ValueError(message) from None
    return value


def _as_loopback(value: object) -> object:
    if isinstance(value, str):
        try:
            inside = ipaddress.IPv4Address(value.replace(NUMBER, "1")) in ipaddress.IPv4Network("127.0.0.0/8")
        except ValueError:
            inside = False
        if not inside:
            raise ValueError("must be an address of 127.0.0.0/8")
    return value


def _as_ipv4(value: object) -> object:
    return str(ipaddress.IPv4Address(value)) if isinstance(value, str) else value


def _as_ipv6(value: object) -> object:
    return str(ipaddress.IPv6Address(value)) if isinstance(value, str) else value


def _as_base64(value: object) -> object:
    if isinstance(value, str):
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            message = f"not base64: {error}"
            raise ValueError(message) from None
    return value


NUMBER: Final = "$n"
Text = Annotated[str, BeforeValidator(as_text)]
Pattern = Annotated[str, BeforeValidator(_as_pattern)]
Many = Text | list[Text]
Document = dict[str, Any]


class Strict(BaseModel):
    """Base of all parts: immutable, and nothing unknown passes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False, regex_engine="python-re")

    def says(self, field: str) -> bool:
        """Whether the case named the field at all, which for `null` differs from its absence."""
        return field in self.model_fields_set


class Matches(Strict):
    """A value given by a regular expression that must be found in it."""

    matches: Pattern


HeaderLine = Text | Matches
HeaderExpectation = HeaderLine | list[HeaderLine]


class Options(Strict):
    """Gateway settings of a case; what is unset keeps the gateway's default."""

    router_flavor: Literal["traditional_compatible", "expressions", "traditional"] | None = None
    trusted_ips: list[str] | None = None
    real_ip_header: str | None = None
    real_ip_recursive: bool | None = None
    headers: list[str] | None = None

    def named(self) -> Document:
        """The settings that the case names, as the snapshot spells them."""
        return self.model_dump(include=self.model_fields_set)


class Service(Strict):
    """The data of an SRV record. A port may be a placeholder's."""

    priority: int = Field(default=1, ge=0, le=65535)
    weight: int = Field(default=1, ge=0, le=65535)
    port: int | Text
    name: Text


class NameRecord(Strict):
    """One thing that the name server says of a name."""

    a: Annotated[str, BeforeValidator(_as_ipv4)] | None = None
    aaaa: Annotated[str, BeforeValidator(_as_ipv6)] | None = None
    cname: Text | None = None
    srv: Service | None = None
    ttl: int = Field(default=60, ge=0, le=604_800)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.model_fields_set & {"a", "aaaa", "cname", "srv"}) != 1:
            raise ValueError("a record is one of a, aaaa, cname and srv")
        return self

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(iter(self.model_fields_set - {"ttl"}))


Said = list[NameRecord] | Literal["fails", "silent"]


class Proxied(Strict):
    """What a balancer says before the client's own bytes."""

    version: Literal[1, 2] = 1
    client: Text | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.client is not None:
            ipaddress.ip_address(self.client)
        return self


class Send(Strict):
    """One request, as it goes onto the wire."""

    method: Text = "GET"
    scheme: Literal["http", "https"] = "http"
    sni: Text | None = None
    listener: Literal["http", "stream", "proxied"] = "http"
    proxied: Proxied | None = None
    version: Annotated[Literal["1.0", "1.1", "2"], BeforeValidator(as_text)] = "1.1"
    host: Text | None = "example.test"
    path: Text = "/"
    headers: dict[Text, Many] = {}
    cookies: bool = False
    source: Annotated[str, BeforeValidator(_as_loopback)] = Field(default="127.0.0.1", alias="from")
    body: Text | None = None
    body_base64: Annotated[str, BeforeValidator(_as_base64)] | None = None
    json_body: Any = Field(default=None, alias="json")
    form: dict[Text, Many] | None = None
    multipart: dict[Text, Many] | None = None
    chunks: list[Text] | None = None
    trailers: dict[Text, Many] = {}
    tunnel: Text | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        bodies = {"body", "body_base64", "json_body", "form", "multipart", "chunks"} & self.model_fields_set
        if len(bodies) > 1:
            raise ValueError("only one of body, body_base64, json, form, multipart and chunks may be given")
        if self.proxied is not None and self.listener != "proxied":
            raise ValueError("proxied needs listener: proxied")
        if self.sni is not None and self.scheme != "https":
            raise ValueError("sni needs scheme: https")
        if self.trailers and self.chunks is None:
            raise ValueError("trailers need chunks")
        if self.tunnel is not None and self.version != "1.1":
            raise ValueError("tunnel needs HTTP/1.1")
        return self


class UpstreamExpectation(Strict):
    """What the one request that reached a backend must look like."""

    name: str | None = None
    method: Text | None = None
    path: Text | None = None
    headers: dict[Text, HeaderExpectation] = {}
    absent_headers: list[Text] = []
    body: Text | None = None
    json_body: Any = Field(default=None, alias="json")
    form: dict[Text, Many] | None = None
    trailers: dict[Text, HeaderExpectation] = {}
    certificate: Text | None = None


class Count(Strict):
    """Totals over the requests of one step; a pair is the least and the most."""

    status: dict[int, int] = {}
    upstream: dict[str, int | tuple[int, int]] = {}
    backends: int | tuple[int, int] | None = None


class Expectation(Strict):
    """What the client must see, and what the backends must have seen."""

    status: int | list[int] | None = None
    reason: Text | None = None
    headers: dict[Text, HeaderExpectation] = {}
    present_headers: list[Text] = []
    absent_headers: list[Text] = []
    body: Text | None = None
    body_matches: Pattern | None = None
    json_body: Any = Field(default=None, alias="json")
    trailers: dict[Text, HeaderExpectation] = {}
    tunnel: Text | None = None
    certificate: Text | None = None
    answer: bool = True
    upstream: UpstreamExpectation | None = None
    count: Count | None = None


class SendStep(Strict):
    """Send a request once, several times in a row, or several times at once."""

    send: Send
    expect: Expectation = Expectation()
    repeat: int | None = Field(default=None, ge=1, le=10_000)
    parallel: int | None = Field(default=None, ge=1, le=1_000)
    eventually: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.repeat is not None and self.parallel is not None:
            raise ValueError("repeat and parallel exclude each other")
        if self.expect.count is not None and self.repeat is None and self.parallel is None:
            raise ValueError("count needs repeat or parallel")
        if self.expect.reason is not None and self.send.version == "2":
            raise ValueError("HTTP/2 has no reason phrase")
        return self

    def numbered(self, number: int) -> Send:
        """The request of this number, from 1: `$n` in its path, headers and source is the number."""
        if self.repeat is None and self.parallel is None:
            return self.send

        def filled(text: str) -> str:
            return text.replace(NUMBER, str(number))

        headers = {
            name: filled(value) if isinstance(value, str) else [filled(item) for item in value]
            for name, value in self.send.headers.items()
        }
        changes = {"path": filled(self.send.path), "headers": headers, "source": filled(self.send.source)}
        return self.send.model_copy(update=changes)

    def __str__(self) -> str:
        return f"{self.send.method} {self.send.path}"


class AdvanceStep(Strict):
    """Move the engine's clock."""

    advance_seconds: float = Field(ge=0)

    def __str__(self) -> str:
        return f"advance {self.advance_seconds:g} s"


class BackendStep(Strict):
    """Change how a backend behaves from now on."""

    backend: str
    does: Literal["answers", "refuses", "stalls", "closes"] = "answers"
    status: int = Field(default=200, ge=200, le=599)
    delay_ms: int = Field(default=0, ge=0, le=10_000)

    def __str__(self) -> str:
        return (
            f"{self.backend} {self.does} with {self.status}"
            if self.does == "answers"
            else f"{self.backend} {self.does}"
        )


class NamesStep(Strict):
    """Change what the name server says; null takes a name away."""

    dns: dict[str, Said | None]

    def __str__(self) -> str:
        return f"names {', '.join(self.dns)}"


class HealthStep(Strict):
    """Compare what the gateway says about the targets of its upstreams."""

    health: dict[str, dict[str, str]]
    tenant: str = ""
    eventually: bool = False

    def __str__(self) -> str:
        return "health"


class SetHealthStep(Strict):
    """Overrule the health of targets, as operators do: per upstream and target, whether it is healthy."""

    set_health: dict[str, dict[str, bool]]

    def __str__(self) -> str:
        return "set health"


class RecordedStep(Strict):
    """Wait for the next record that a receiver gets, and compare it."""

    recorded: Text
    method: Text | None = None
    path: Text | None = None
    headers: dict[Text, HeaderExpectation] = {}
    body: Text | None = None
    body_matches: Pattern | None = None
    json_body: Any = Field(default=None, alias="json")
    otlp: Literal["traces", "logs", "metrics"] | None = None

    def __str__(self) -> str:
        return f"record at {self.recorded}"


class ScrapedStep(Strict):
    """Wait until a tenant's figures for Prometheus are as expected."""

    scraped: list[Text] = []
    lacks: list[Pattern] = []
    tenant: str = ""

    def __str__(self) -> str:
        return "figures"


class ErrorExpectation(Strict):
    """An error that must be among the reported ones."""

    entity: Text | None = None
    field: Text | None = None
    contains: Text = ""


class ConfigureStep(Strict):
    """Apply another full configuration."""

    configure: Document
    tenant: str = ""
    expect: Literal["accepted", "rejected"] = "accepted"
    errors: list[ErrorExpectation] = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.errors and self.expect == "accepted":
            raise ValueError("errors need expect: rejected")
        return self

    def __str__(self) -> str:
        return "configure"


_STEPS: Final = (
    "send",
    "advance_seconds",
    "configure",
    "backend",
    "dns",
    "health",
    "set_health",
    "recorded",
    "scraped",
)


def _kind_of_step(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    kinds = [kind for kind in _STEPS if kind in value]
    return kinds[0] if len(kinds) == 1 else None


Step = Annotated[
    Annotated[SendStep, Tag("send")]
    | Annotated[AdvanceStep, Tag("advance_seconds")]
    | Annotated[ConfigureStep, Tag("configure")]
    | Annotated[BackendStep, Tag("backend")]
    | Annotated[NamesStep, Tag("dns")]
    | Annotated[HealthStep, Tag("health")]
    | Annotated[SetHealthStep, Tag("set_health")]
    | Annotated[RecordedStep, Tag("recorded")]
    | Annotated[ScrapedStep, Tag("scraped")],
    Discriminator(
        _kind_of_step,
        custom_error_type="step_kind",
        custom_error_message=f"a step has exactly one of {', '.join(_STEPS[:-1])} and {_STEPS[-1]}",
    ),
]


class Certificate(Strict):
    """A certificate that the runner makes for the case."""

    names: list[Text] = []
    key: Literal["ecdsa", "rsa"] = "ecdsa"


class Tenant(Strict):
    """A tenant beside the one that answers for every other host."""

    hosts: list[Text] = Field(min_length=1)
    config: Document


class Case(Strict):
    """One case, complete: whatever its file lends it is filled in."""

    description: Text = ""
    source: Text = ""
    features: list[Text] = []
    requires: list[Text] = []
    options: Options = Options()
    certificates: dict[str, Certificate] = {}
    dns: dict[str, Said | None] | None = None
    config: Document = {}
    tenants: dict[str, Tenant] = {}
    steps: list[Step] = Field(min_length=1)


class Lent(Strict):
    """The top level of a file with several cases."""

    description: Text = ""
    source: Text = ""
    features: list[Text] = []
    requires: list[Text] = []
    options: Options = Options()
    certificates: dict[str, Certificate] = {}
    dns: dict[str, Said | None] | None = None
    config: Document = {}
    tenants: dict[str, Tenant] = {}
    cases: list[Document] = Field(min_length=1)


def parse_case(document: object) -> Case:
    """Check one case against the format.

    Raises: CaseError: naming every place that breaks a rule.
    """
    try:
        return Case.model_validate(document, by_alias=True)
    except ValidationError as error:
        raise CaseError(_explain(error)) from None


def parse_lent(document: object) -> Lent:
    """Check the top level of a file with several cases; the cases in it are checked one by one later.

    Raises: CaseError: naming every place that breaks a rule.
    """
    try:
        return Lent.model_validate(document, by_alias=True)
    except ValidationError as error:
        raise CaseError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        # Tags of the step union and branches of value unions are our own words, not places in the file.
        place = ".".join(
            str(part) for part in item["loc"] if not str(part).startswith(("function-", "list[", "Matches"))
        )
        text = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        line = f"{place or 'case'}: {text}"
        if line not in lines:
            lines.append(line)
    return "; ".join(lines)

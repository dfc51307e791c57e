"""Field types: what a value may look like, in Kong's terms and with Kong's messages."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from schema.patterns import regex_fault

T = TypeVar("T")

MAX_KEY_LENGTH: Final = 512
"""Longest name in characters; keeps every unique key below PostgreSQL's limit for an index row."""
MAX_TEXT_LENGTH: Final = 65_536
MAX_ITEMS: Final = 4096


class Secret(Generic[T]):
    """A value that must not be printed, logged or compared by accident; `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The clear value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Sealed:
    """Marks a leaf that is encrypted at rest and in change records, and clear for its owner and for runtimes."""


def fault(message: str) -> PydanticCustomError:
    """A validation error with exactly this text."""
    return PydanticCustomError("rule", "{message}", {"message": message})


@dataclass(frozen=True)
class Rule:
    """A rule on a valid value: `check` returns what is wrong, or None. `facets` is its JSON Schema side."""

    check: Callable[[Any], str | None]
    facets: Mapping[str, Any] = dataclass_field(default_factory=dict[str, Any], hash=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._apply, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self.facets}

    def _apply(self, value: Any) -> Any:
        wrong = self.check(value)
        if wrong is not None:
            raise fault(wrong)
        return value


@dataclass(frozen=True)
class Normal:
    """Brings a valid value into its one canonical form."""

    change: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.change, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema)


# --- strings -------------------------------------------------------------------------------------------------------


def length(minimum: int, maximum: int) -> Rule:
    """Length in characters, ends included."""

    def check(value: str) -> str | None:
        if "\x00" in value:
            return "must not contain a null character"
        if len(value) < minimum:
            return f"length must be at least {minimum}"
        return f"length must be at most {maximum}" if len(value) > maximum else None

    return Rule(check, {"minLength": minimum, "maxLength": maximum})


def one_of(*choices: Any) -> Rule:
    """One of a fixed list of values."""
    text = "expected one of: " + ", ".join(str(choice) for choice in choices)
    return Rule(lambda value: None if value in choices else text, {"enum": list(choices)})


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NAME = re.compile(r"[0-9a-zA-Z.\-_~\u0080-\U0010ffff]+")
_NAME_RULE = "the only accepted ascii characters are alphanumerics or ., -, _, and ~"
_METHOD = re.compile(r"[A-Z]+", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether a path segment can only be an id."""
    return _UUID.fullmatch(text) is not None


def is_header_name(text: str) -> bool:
    """Whether Kong accepts this as the name of a header."""
    return _HEADER_NAME.fullmatch(text) is not None


def has_control_characters(text: str) -> bool:
    """Whether a header value would break the framing of a message (RFC 9110 section 5.5; tab is allowed)."""
    return any((char < " " and char != "\t") or char == "\x7f" for char in text)


def _check_name(value: str) -> str | None:
    return None if _NAME.fullmatch(value) else f"invalid value '{value}': {_NAME_RULE}"


def _check_tag(value: str) -> str | None:
    if "," in value or "/" in value or has_control_characters(value):
        return f"invalid tag '{value}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
    return None


Text = Annotated[str, length(1, MAX_TEXT_LENGTH)]
ShortText = Annotated[str, length(1, MAX_KEY_LENGTH)]
Uuid = Annotated[
    str,
    Rule(lambda value: None if is_uuid(value) else "expected a valid UUID", {"format": "uuid"}),
    Normal(str.lower),
]
Name = Annotated[str, length(1, MAX_KEY_LENGTH), Rule(_check_name)]
Tag = Annotated[str, length(1, 128), Rule(_check_tag)]
HttpMethod = Annotated[
    str,
    length(1, 64),
    Rule(lambda value: None if _METHOD.fullmatch(value) else f"invalid value: {value}", {"pattern": "^[A-Z]+$"}),
]
HeaderName = Annotated[
    str, length(1, 256), Rule(lambda value: None if is_header_name(value) else f"'{value}' is not a valid header")
]


# --- numbers -------------------------------------------------------------------------------------------------------


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def between(low: int, high: int, unit: str | None = None) -> Rule:
    """An inclusive range; `unit` goes to the published schema."""
    facets: dict[str, Any] = {"minimum": low, "maximum": high}
    if unit is not None:
        facets["x-unit"] = unit
    return Rule(
        lambda value: None if low <= value <= high else f"value should be between {low} and {high}",
        facets,
    )


Integer = Annotated[int, BeforeValidator(_integral)]
Port = Annotated[Integer, between(0, 65535)]
Milliseconds = Annotated[Integer, between(1, 2_147_483_646, unit="milliseconds")]


# --- collections ---------------------------------------------------------------------------------------------------


def _distinct(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def items(minimum: int = 0, maximum: int = MAX_ITEMS) -> Rule:
    """Number of items of a list or map."""

    def check(value: Any) -> str | None:
        if len(value) < minimum:
            return f"length must be at least {minimum}"
        return f"length must be at most {maximum}" if len(value) > maximum else None

    facets: dict[str, Any] = {"minItems": minimum} if minimum else {}
    return Rule(check, facets)


Distinct: Final = Normal(_distinct)
"""Set semantics: duplicates go, the order of first mention stays."""
Tags = Annotated[list[Tag], items(maximum=256), Distinct]


# --- network -------------------------------------------------------------------------------------------------------

_LABEL = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or (possibly bracketed) IPv6 address."""
    try:
        ipaddress.ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return False
    return True


def split_port(text: str) -> tuple[str, int | None] | None:
    """`host[:port]` apart, None when the port is no port. A bare IPv6 address has no port."""
    if is_ip(text):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    return host, int(port)


def is_host_name(text: str) -> bool:
    """Dot separated labels of letters, digits, `-` and `_`; one trailing dot is fine."""
    name = text.removesuffix(".")
    labels = name.split(".")
    return (
        0 < len(name) <= 253
        and _LABEL.fullmatch(name) is not None
        and all(0 < len(label) <= 63 and not label.endswith("-") for label in labels)
    )


def _check_host(value: str) -> str | None:
    split = split_port(value)
    if split is None:
        return f"invalid value: {value}"
    if split[1] is not None:
        return "must not have a port"
    return None if is_ip(value) or is_host_name(value) else f"invalid value: {value}"


def wildcard_fault(value: str) -> str | None:
    """What is wrong with `name`, `*.name` or `name.*`."""
    if "*" not in value:
        return None if is_host_name(value) else f"invalid value: {value}"
    if value.count("*") > 1:
        return "only one wildcard must be specified"
    if value.startswith("*."):
        rest = value[2:]
    elif value.endswith(".*"):
        rest = value[:-2]
    else:
        return "wildcard must be leftmost or rightmost character"
    return None if is_host_name(rest) else f"invalid value: {value}"


def _check_route_host(value: str) -> str | None:
    split = split_port(value)
    if split is None:
        return f"invalid value: {value}"
    if is_ip(split[0]):
        return None if split[0].startswith("[") or ":" not in split[0] else f"invalid value: {value}"
    return wildcard_fault(split[0])


def _check_sni(value: str) -> str | None:
    if is_ip(value):
        return "must not be an IP"
    if ":" in value:
        return "must not have a port"
    return wildcard_fault(value)


def _check_cidr(value: str) -> str | None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"invalid ip or cidr range: '{value}'"
    return None


def _check_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port >= 0
    except ValueError:
        return "missing host in url"
    return None if parts.hostname and port_fits else "missing host in url"


Host = Annotated[str, length(1, 260), Rule(_check_host)]
RouteHost = Annotated[str, length(1, 260), Rule(_check_route_host)]
Sni = Annotated[str, length(1, 255), Rule(_check_sni)]
Cidr = Annotated[str, length(1, 64), Rule(_check_cidr)]
Url = Annotated[str, length(1, 4096), Rule(_check_url)]


# --- paths ---------------------------------------------------------------------------------------------------------

MAX_PATH_LENGTH: Final = 1024
_PATH_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*", re.ASCII)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _path_fault(value: str) -> str | None:
    if "//" in value:
        return "must not have empty segments"
    if not _PATH_CHARACTERS.fullmatch(value):
        return f"invalid path: '{value}' (characters outside of the reserved list of RFC 3986 found)"
    if (broken := _PERCENT.search(value)) is not None:
        return f"invalid url-encoded value: '{value[broken.start() : broken.start() + 3]}'"
    return None


def normal_path(path: str) -> str:
    """RFC 3986 section 6.2.2: unreserved escapes decoded, the others in upper case, dot segments resolved."""

    def unescape(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0].upper()

    kept: list[str] = []
    segments = _ESCAPE.sub(unescape, path).split("/")[1:]
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def _check_path(value: str) -> str | None:
    return _path_fault(value) if value.startswith("/") else "should start with: /"


def _check_route_path(value: str) -> str | None:
    if value.startswith("~/"):
        wrong = regex_fault(value[1:])
        return None if wrong is None else f"invalid regex: '{value[1:]}' ({wrong})"
    if not value.startswith("/"):
        return "should start with: / (fixed path) or ~/ (regex path)"
    wrong = _path_fault(value)
    if wrong is None and (normal := normal_path(value)) != value:
        return f"non-normalized path, consider use '{normal}' instead"
    return wrong


HttpPath = Annotated[str, length(1, MAX_PATH_LENGTH), Rule(_check_path)]
RoutePath = Annotated[str, length(1, MAX_PATH_LENGTH), Rule(_check_route_path)]


# --- references ----------------------------------------------------------------------------------------------------


class ReferenceRecord(BaseModel):
    """`{"id": …}`, or `{<natural key>: …}` until the engine has looked it up. An id wins over anything beside it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, ShortText]  # pyright: ignore[reportIncompatibleVariableOverride]  # as pydantic documents

    id: Uuid | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise fault("expected a record")
        members: dict[Any, Any] = value
        given = {str(key): item for key, item in members.items() if item is not None}
        if "id" in given:
            return {"id": given["id"]}
        if len(given) != 1:
            raise fault("missing primary key")
        return given

    @model_serializer
    def _as_given(self) -> dict[str, str]:
        return {"id": self.id} if self.id is not None else dict(self.__pydantic_extra__)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # closed, so that clients which fill defaults from the schema do not descend into it
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {"id": {"type": "string", "format": "uuid"}},
            "x-foreign": True,
        }


Reference = ReferenceRecord

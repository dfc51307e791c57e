"""Field types: what a value may look like, in Kong's terms and with Kong's messages."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Any, Final, Generic, TypeVar

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

from schema import addresses, paths, pem
from schema.credentials import password_hash
from schema.marks import Shown

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
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            return "expected valid UTF-8"  # half of a surrogate pair, which no runtime could read
        if len(value) < minimum:
            return f"length must be at least {minimum}"
        return f"length must be at most {maximum}" if len(value) > maximum else None

    return Rule(check, {"minLength": minimum, "maxLength": maximum})


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
CookieName = Annotated[
    str,
    length(1, 256),
    Rule(
        lambda value: (
            None
            if is_header_name(value)
            else f"bad cookie name '{value}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
        )
    ),
]
HeaderName = Annotated[
    str, length(1, 256), Rule(lambda value: None if is_header_name(value) else f"'{value}' is not a valid header")
]


# --- numbers -------------------------------------------------------------------------------------------------------


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def between(low: float, high: float, unit: str | None = None) -> Rule:
    """An inclusive range; `unit` goes to the published schema."""
    facets: dict[str, Any] = {"minimum": low, "maximum": high}
    if unit is not None:
        facets["x-unit"] = unit
    return Rule(
        lambda value: None if low <= value <= high else f"value should be between {low} and {high}",
        facets,
    )


Integer = Annotated[int, BeforeValidator(_integral)]
Number = Annotated[int | float, BeforeValidator(_integral), Shown("number")]
"""Whole ones stay whole: clients read them into integers."""
HttpStatus = Annotated[Integer, between(100, 999)]
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


# --- network and paths -------------------------------------------------------------------------------------------------

Host = Annotated[str, length(1, 260), Rule(addresses.host_fault)]
RouteHost = Annotated[str, length(1, 260), Rule(addresses.route_host_fault)]
Sni = Annotated[str, length(1, 255), Rule(addresses.sni_fault)]
Cidr = Annotated[str, length(1, 64), Rule(addresses.cidr_fault)]
Url = Annotated[str, length(1, 4096), Rule(addresses.url_fault)]
HostWithPort = Annotated[str, length(1, 260), Rule(addresses.host_with_port_fault)]
UpstreamName = Annotated[str, length(1, MAX_KEY_LENGTH), Rule(addresses.upstream_name_fault)]
TargetAddress = Annotated[
    str,
    length(1, MAX_KEY_LENGTH),
    Rule(addresses.target_fault),
    Normal(lambda value: addresses.normal_target(value) or value),
]

ServerName = Annotated[
    str,
    length(1, 255),
    Rule(lambda value: None if value == "*" else addresses.sni_fault(value)),
    Normal(addresses.normal_server_name),
]


def _check_repeated(values: list[str]) -> str | None:
    repeated = next((value for index, value in enumerate(values) if value in values[:index]), None)
    return None if repeated is None else f"{repeated} is duplicated"


ServerNames = Annotated[list[ServerName], items(maximum=256), Rule(_check_repeated)]

CredentialKey = Annotated[str, length(1, MAX_KEY_LENGTH)]
Password = Annotated[str, length(1, 4096), Normal(password_hash)]
"""In clear until it is validated, hashed from then on."""

Certificates = Annotated[Text, Rule(pem.certificate_fault)]
PrivateKey = Annotated[Text, Rule(pem.private_key_fault)]
AuthorityCertificate = Annotated[Text, Rule(pem.authority_fault)]

MAX_PATH_LENGTH: Final = 1024
HttpPath = Annotated[str, length(1, MAX_PATH_LENGTH), Rule(paths.path_fault)]
RoutePath = Annotated[str, length(1, MAX_PATH_LENGTH), Rule(paths.route_path_fault)]


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

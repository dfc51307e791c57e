"""What an operator can set: environment variables with the prefix `SLUICE_`, read once in a composition root.

Importing this module reads nothing. `load_settings()` refuses names it does not know, so a typing error is a message
and not a silent default.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import SettingsError
from schema.environment import is_published
from schema.snapshot import MOST_CONFIG_BYTES, RouterFlavor

ENV_PREFIX: Final = "SLUICE_"


def _split(value: object) -> object:
    """Lists are written `a,b,c` in the environment."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Port = Annotated[int, Field(ge=1, le=65535)]


class RegionSettings(BaseModel):
    """One place where gateways run, and the ports its listeners have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="As in the host names of its gateways.")
    http_port: Port = Field(description="Port of the plain HTTP listener.")
    https_port: Port = Field(description="Port of the TLS listener.")
    status_port: Port = Field(description="Loopback port of the runtime's status listener.")
    public_http_port: Port | None = Field(
        default=None, description="Port that clients use, where a balancer maps it; default: http_port."
    )
    public_https_port: Port | None = Field(
        default=None, description="Port that clients use for TLS; default: https_port."
    )
    proxy_protocol: bool = Field(
        default=False, description="Whether a balancer begins every connection with a header of the PROXY protocol."
    )

    def shifted(self, offset: int) -> "RegionSettings":
        """The same region with every port moved by `offset`."""
        moved = {
            name: port + offset
            for name in ("http_port", "https_port", "status_port", "public_http_port", "public_https_port")
            if (port := getattr(self, name)) is not None
        }
        return self.model_copy(update=moved)

    @property
    def client_http_port(self) -> int:
        """The port in the HTTP addresses that users are told."""
        return self.public_http_port or self.http_port

    @property
    def client_https_port(self) -> int:
        """The port in the HTTPS addresses that users are told."""
        return self.public_https_port or self.https_port


_DEFAULT_REGIONS: Final = (
    RegionSettings(name="us", http_port=8000, https_port=8443, status_port=8010),
    RegionSettings(name="eu", http_port=8100, https_port=8543, status_port=8110),
)


class _Environment(EnvSettingsSource):
    """An environment source that reads a given mapping instead of the process's own."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = {name.lower(): value for name, value in environ.items()}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._environ

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            raise SettingsError(f"{ENV_PREFIX}{field_name.upper()}", "is not valid JSON") from None


class Settings(BaseSettings):
    """All settings of all processes; each process asks for what it needs with the `require_` methods."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL 15 or newer; unset: `sluice up` embeds one."
    )
    broker_url: SecretStr | None = Field(default=None, description="Valkey or Redis for Celery (noeviction).")
    counters_url: SecretStr | None = Field(
        default=None, description="Valkey or Redis for counters and caches (may evict)."
    )
    state_dir: Path = Field(
        default=Path(".sluice"), description="Data, logs, caches and the `env` file of `sluice up`."
    )
    port_offset: int = Field(
        default=0, ge=0, le=50000, description="Added to every port, so that installations can share a host."
    )
    master_key: SecretStr | None = Field(
        default=None, description="32 bytes in base64; token pepper and data keys derive from it."
    )

    api_host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    api_port: Port = Field(default=8080, description="HTTP port of API and console.")
    api_tls_port: Port = Field(default=8081, description="HTTPS port of API and console.")
    api_tls_names: CommaList = Field(
        default=(), description="More names for the API's development certificate, comma separated."
    )
    api_url: str = Field(default="http://127.0.0.1:8080", description="Where runtimes and workers reach the API.")
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="Largest request body that the API reads."
    )

    regions: tuple[RegionSettings, ...] = Field(
        default=_DEFAULT_REGIONS, min_length=1, description="Where gateways run, as JSON."
    )
    gateway_domain: str = Field(
        default="gateways.localhost", description="Gateways are named {prefix}.{region}.{this}."
    )
    control_plane_domain: str = Field(
        default="localhost", description="Parent of the control plane and telemetry endpoints' names."
    )
    driver: Literal["process", "external"] = Field(
        default="process", description="Who starts runtimes: the worker, or someone else."
    )
    upstream_allow: CommaList = Field(
        default=(), description="Private networks that gateways may reach, CIDR, comma separated."
    )
    trusted_ips: CommaList = Field(
        default=(),
        description="Balancers before the gateways whose forwarding headers are believed, CIDR, comma separated.",
    )
    real_ip_header: str = Field(
        default="X-Real-IP",
        pattern=r"^[A-Za-z0-9_-]{1,256}$",
        description="Where they put the client's address: a header, or `proxy_protocol`.",
    )
    real_ip_recursive: bool = Field(
        default=False, description="Whether their own addresses are passed over where they put several."
    )
    router_flavor: RouterFlavor = Field(
        default="traditional_compatible",
        description="How gateways rank routes; traditional also honours path_handling v1.",
    )
    tenant_max_requests_per_second: int | None = Field(
        default=None,
        ge=0,
        description="Requests and new streams per second of one tenant on one runtime; unset: no limit.",
    )
    tenant_max_concurrent_requests: int | None = Field(
        default=None, ge=0, description="Requests and streams of one tenant at once on one runtime; unset: no limit."
    )
    tenant_max_connections: int | None = Field(
        default=None, ge=0, description="Client connections of one tenant at once on one runtime; unset: no limit."
    )
    tenant_max_body_bytes: int = Field(
        default=128 * 1024 * 1024, ge=0, description="Largest request body that gateways pass on."
    )
    max_control_planes: int = Field(
        default=1000, ge=1, description="Control planes that one organization may have, groups among them."
    )
    max_entities: int = Field(
        default=100_000, ge=1, description="Entities that one control plane, or the members of a group, may hold."
    )
    max_config_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=64 * 1024,
        le=MOST_CONFIG_BYTES,
        description="Bytes that the entities of one control plane, or of the members of a group, may be stored in.",
    )
    max_group_members: int = Field(
        default=256, ge=1, le=1000, description="Control planes that one control plane group may have as members."
    )
    node_ca_cert_file: Path | None = Field(
        default=None, description="Certificate (PEM) that signs runtimes' node certificates."
    )
    node_ca_key_file: Path | None = Field(
        default=None, description="Its private key (PEM); only the process that issues needs it."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    database_pool_size: int = Field(
        default=16, ge=1, le=500, description="Connections per process and role; at least the threads."
    )

    @field_validator("regions")
    @classmethod
    def _unique_regions(cls, regions: tuple[RegionSettings, ...]) -> tuple[RegionSettings, ...]:
        if len({region.name for region in regions}) != len(regions):
            raise ValueError("two regions have the same name")
        return regions

    @field_validator("upstream_allow", "trusted_ips")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        if any("%" in network for network in networks):
            raise ValueError("a network has no zone")  # no runtime could read it
        return tuple(str(ip_network(network)) for network in networks)

    @field_validator("master_key")
    @classmethod
    def _key_length(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            _decode_key(key)
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the composition root passes counts; `load_settings` turns the environment into that."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def region(self, name: str) -> RegionSettings | None:
        """The region of that name with `port_offset` applied, or None."""
        return next((region for region in self.listening_regions if region.name == name), None)

    @property
    def listening_regions(self) -> tuple[RegionSettings, ...]:
        """All regions with `port_offset` applied."""
        return tuple(region.shifted(self.port_offset) for region in self.regions)

    @property
    def home_geo(self) -> str:
        """The geo that holds all control planes of this installation: the first region's name."""
        return self.regions[0].name

    @property
    def api_listen_port(self) -> int:
        """HTTP port of the API with `port_offset` applied."""
        return self.api_port + self.port_offset

    @property
    def api_listen_tls_port(self) -> int:
        """HTTPS port of the API with `port_offset` applied."""
        return self.api_tls_port + self.port_offset

    def require_database_url(self) -> str:
        """The database's address. Raises SettingsError when it is not set."""
        return self._required("database_url")

    def require_broker_url(self) -> str:
        """The broker's address. Raises SettingsError when it is not set."""
        return self._required("broker_url")

    def require_master_key(self) -> bytes:
        """The 32 bytes of the master key. Raises SettingsError when it is not set."""
        self._required("master_key")
        assert self.master_key is not None
        return _decode_key(self.master_key)

    def _required(self, name: str) -> str:
        value: SecretStr | None = getattr(self, name)
        if value is None:
            raise SettingsError(ENV_PREFIX + name.upper(), "is needed and not set")
        return value.get_secret_value()

    def with_changes(self, **changes: Any) -> Self:
        """A validated copy with some settings replaced, for example by embedded servers' addresses."""
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**(values | changes))


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings from the environment (or from `environ`).

    Raises: SettingsError: a name is unknown or a value is invalid; the message names it and never shows the value.
    """
    environ = os.environ if environ is None else environ
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    given = {name: value for name, value in environ.items() if name.startswith(ENV_PREFIX)}
    for name in sorted(given):
        # Sourcing `.sluice/env` before a start must not be an error.
        if name not in known and not is_published(name):
            raise SettingsError(name, "is not a setting")
    source = _Environment(Settings, {name: value for name, value in given.items() if name in known})
    try:
        return Settings(**source())
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        raise SettingsError(ENV_PREFIX + "__".join(location).upper(), first["msg"]) from None


def _decode_key(key: SecretStr) -> bytes:
    try:
        raw = base64.b64decode(key.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    if len(raw) != 32:
        raise ValueError(f"must be 32 bytes in base64, not {len(raw)}")
    return raw

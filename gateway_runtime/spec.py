"""What one gateway process is told at start: a JSON file written by whoever starts it, or the environment."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from schema.environment import is_published

ENV_PREFIX: Final = "SLUICE_GATEWAY_"

_STRUCTURES: Final = frozenset({f"{ENV_PREFIX}LIMITS", f"{ENV_PREFIX}DNS"})
# The control plane's settings that begin alike; a shell may have them for both.
_OTHERS: Final = frozenset({f"{ENV_PREFIX}DOMAIN"})


class SpecError(Exception):
    """The gateway cannot start with what it was told; the message names the field."""


class Listener(BaseModel):
    """One address that takes client traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(description="`host:port`; port 0 takes a free one.", pattern=r"^\S+:\d{1,5}$")
    tls: bool = False
    protocol: Literal["http", "stream"] = "http"
    public_port: int | None = Field(None, ge=1, le=65535, description="Port that clients use, where it is mapped.")
    proxy_protocol: bool = Field(False, description="Whether every connection begins with a header of that protocol.")


_LISTENER_KINDS: Final[Mapping[str, Mapping[str, object]]] = {
    "": {"tls": False},
    "tls": {"tls": True},
    "stream": {"tls": False, "protocol": "stream"},
    "stream+tls": {"tls": True, "protocol": "stream"},
}


def _listener(text: str) -> dict[str, object]:
    kind, _, address = text.rpartition("://")
    return {"address": address, **_LISTENER_KINDS.get(kind, {"kind": kind})}


class GatewaySpec(BaseModel):
    """Settings of one gateway process.

    Paths are absolute or relative to the working directory. `node_id` stays the same over restarts: the control plane knows
    a runtime by it, and the node certificate names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str = Field(description="Region that it serves.", pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
    node_id: UUID = Field(description="The UUID in its node certificate.")
    listeners: Annotated[
        tuple[Listener, ...],
        Field(
            description="Addresses that take traffic: `host:port`, `tls://host:port`; `stream://` and `stream+tls://` for "
            "routes that are not HTTP. As JSON, a list of objects with `address`, `tls`, `protocol`, `public_port` and "
            "`proxy_protocol`.",
            min_length=1,
            max_length=16,
        ),
    ]
    status_address: str = Field(description="`host:port` of the status listener.", pattern=r"^\S+:\d{1,5}$")
    api_url: str = Field(description="Base URL of the control plane.", pattern=r"^https?://")
    api_ca_file: Path | None = Field(None, description="PEM bundle that the control plane's certificate must chain to.")
    node_certificate_file: Path = Field(description="Node certificate (PEM), signed by the platform's node CA.")
    node_key_file: Path = Field(description="Its private key (PEM); the disk cache is encrypted under it.")
    state_dir: Path = Field(description="Holds the last good configuration, encrypted.")
    log_dir: Path | None = Field(
        None,
        description="Holds the files of the plugin `file-log`, in a directory per control plane; unset: `logs` in `state_dir`.",
    )
    threads: int = Field(0, ge=0, le=1024, description="Engine threads; 0 takes one per core.")
    grace_seconds: float = Field(10.0, ge=0, le=3600, description="How long requests in flight may finish at stop.")
    certificate_file: Path | None = Field(
        None, description="Default server certificate; without one the engine makes one."
    )
    certificate_key_file: Path | None = Field(None, description="Private key of the default server certificate.")
    limits: dict[str, Any] | None = Field(None, description="Engine limits, passed through.")
    dns: dict[str, Any] | None = Field(
        None,
        description="How names are looked up, passed through; unset: as the system says, by the records' lifetimes.",
    )

    @field_validator("listeners", mode="before")
    @classmethod
    def _listeners_from_text(cls, value: object) -> object:
        """Read `0.0.0.0:8000, tls://0.0.0.0:8443`, the form that fits an environment variable, or JSON."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return _parsed(f"{ENV_PREFIX}LISTENERS", value)
        items = [item.strip() for item in value.split(",") if item.strip()]
        return [_listener(item) for item in items]

    @classmethod
    def load(cls, path: Path | None, environ: Mapping[str, str] | None = None) -> Self:
        """Read the file, if one is named; variables `SLUICE_GATEWAY_<FIELD>` fill in and override.

        Raises: SpecError: unreadable, unknown field or bad value; never repeats a value.
        """
        environ = os.environ if environ is None else environ
        document: dict[str, Any] = {}
        if path is not None:
            try:
                document = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise SpecError(f"{path}: {error}") from error
        known = {ENV_PREFIX + name.upper(): name for name in cls.model_fields}
        for variable, value in environ.items():
            if variable in known:
                document[known[variable]] = _parsed(variable, value) if variable in _STRUCTURES else value
            elif variable.startswith(ENV_PREFIX) and variable not in _OTHERS and not is_published(variable):
                raise SpecError(f"{variable}: unknown setting")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SpecError(f"{path or ENV_PREFIX + place.upper()}: {place}: {first['msg']}") from None

    def engine_options(self, version: str) -> bytes:
        """The engine's start options as JSON.

        Raises: SpecError: the certificate cannot be read.
        """
        certificate: dict[str, str] | None = None
        if self.certificate_file is not None and self.certificate_key_file is not None:
            try:
                certificate = {
                    "cert": self.certificate_file.read_text("ascii"),
                    "key": self.certificate_key_file.read_text("ascii"),
                }
            except (OSError, ValueError) as error:
                raise SpecError(f"certificate: {error}") from error
        elif self.certificate_file is not None or self.certificate_key_file is not None:
            raise SpecError("certificate_file and certificate_key_file: give both or none")
        options: dict[str, Any] = {
            "listeners": [listener.model_dump() for listener in self.listeners],
            "threads": self.threads,
            "default_certificate": certificate,
            "log_directory": str((self.log_dir or self.state_dir / "logs").absolute()),
            "version": version,
        }
        if self.limits is not None:
            options["limits"] = self.limits
        if self.dns is not None:
            options["dns"] = self.dns
        return json.dumps(options).encode()


def _parsed(variable: str, value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        raise SpecError(f"{variable}: is not JSON") from None


def split_address(address: str) -> tuple[str, int]:
    """`host:port` (or `[v6]:port`) in its parts."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)

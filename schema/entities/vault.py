"""The vault: where secrets are kept, and the prefix that references to them begin with."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from schema.base import Catalog, Entity, EntitySpec, Record, Unique
from schema.types import Rule, ShortText, Text
from schema.vault_configs import CONFIGS
from schema.vaults import backend_fault, config_fault, prefix_fault


class Vault(Entity):
    """A place for secrets. References name it by its prefix: `{vault://my-vault/resource/key}`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="vaults",
        singular="vault",
        natural_key="prefix",
        unique=(Unique(("prefix",)),),
        filters=("name", "prefix"),
        config_by="name",
        gateways=False,
        example={
            "name": "env",
            "prefix": "settings",
            "description": "what the process was given",
            "config": {"prefix": "APP_"},
        },
    )

    name: Annotated[ShortText, Rule(backend_fault)]
    """The backend: `env`, `aws`, `gcp`, `azure`, `hcv`, `conjur`, `konnect`, …"""
    prefix: Annotated[ShortText, Rule(prefix_fault)]
    """Unique first part of references, usable instead of the id."""
    description: Text | None = None
    """What it is for."""
    config: Annotated[dict[str, Any], Rule(config_fault)] | None = None
    """The backend's own configuration: kept, and given back, exactly as sent."""

    @classmethod
    def config_of(cls, kind: str, catalog: Catalog) -> type[Record] | None:
        del catalog
        return CONFIGS.get(kind)

    @classmethod
    def configs(cls) -> Mapping[str, type[Record]]:
        return CONFIGS

    @classmethod
    def nested_records(cls) -> frozenset[str]:
        return super().nested_records() | {"config"}

    @classmethod
    def sealed_paths(cls, document: Mapping[str, Any], catalog: Catalog) -> tuple[tuple[str, ...], ...]:
        """All text of the configuration: which of a backend's fields are secret is not known for all of them."""
        del document, catalog
        return (("config", "**"),)

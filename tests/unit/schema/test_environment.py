"""What is published is told apart from what is set."""

import pytest

from cli.up.environment_file import addresses
from core.settings import Settings, load_settings
from gateway_runtime.spec import ENV_PREFIX, GatewaySpec
from schema.environment import is_published


@pytest.mark.parametrize(
    "regions", [None, '[{"name": "eu-west-1", "http_port": 8000, "https_port": 8443, "status_port": 8010}]']
)
def test_addresses_are_published(regions: str | None) -> None:
    settings = load_settings({} if regions is None else {"SLUICE_REGIONS": regions})

    assert all(is_published(name) for name in addresses(settings))


def test_settings_are_not() -> None:
    names = [f"SLUICE_{name.upper()}" for name in Settings.model_fields]
    names += [f"{ENV_PREFIX}{name.upper()}" for name in GatewaySpec.model_fields]

    assert [name for name in names if is_published(name)] == []

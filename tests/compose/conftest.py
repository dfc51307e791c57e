"""The deployment files, parsed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import dockerfile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


@pytest.fixture(scope="session")
def stages() -> dict[str, dockerfile.Stage]:
    return dockerfile.parse(ROOT / "docker" / "Dockerfile")

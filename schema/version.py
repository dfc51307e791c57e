"""The product's version: as installed, else as the source tree's project file says."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final


def _find_version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:
        # A checkout whose package was never installed, as when only linters run.
        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


VERSION: Final = _find_version()
PRODUCT: Final = f"sluice/{VERSION}"
GATEWAY_VERSION: Final = "3.15.0"
"""The version of Kong Gateway whose configuration this takes (docs/adr/0009-behaviour-baseline.md).

Its tools tell by it which fields and defaults there are.
"""

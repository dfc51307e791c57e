"""The version of the installed product."""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache
from pathlib import Path


@cache
def version() -> str:
    """As installed; in a source tree that was never installed, as pyproject.toml says."""
    try:
        return importlib.metadata.version("sluice")
    except importlib.metadata.PackageNotFoundError:
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
        found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
        assert found is not None
        return found[1]

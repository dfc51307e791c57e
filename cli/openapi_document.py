"""The OpenAPI documents of the REST API, made without a database."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

from cli import generated
from cli.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI


# The application wants a key and a database before it can say what it offers; it uses neither for that.
_PLACEHOLDERS = {"SLUICE_MASTER_KEY": base64.b64encode(bytes(32)).decode(), "SLUICE_DATABASE_URL": "postgresql://"}


def render() -> str:
    """All areas as one document, stable and diffable."""
    return _text(_application().openapi())


def render_areas() -> dict[str, str]:
    """One document per area, by file name."""
    from api.openapi import documents

    return {f"{area}.json": _text(document) for area, document in documents(_application()).items()}


def emit(output: Path | None, *, check: bool) -> None:
    """Print one document of everything, or write one per area into the directory `output`; with `check`, only compare.

    Raises: Fault: the files differ or cannot be written.
    """
    if output is None:
        sys.stdout.write(render())
        return
    wanted = render_areas()
    stale = [file for file in sorted(output.glob("*.json")) if file.name not in wanted]
    if check and stale:
        raise Fault(f"{stale[0]} is not generated any more: run `make gen`")
    for name, document in wanted.items():
        generated.emit(document, output / name, check=check)
    for file in stale:
        file.unlink()


def _application() -> FastAPI:
    from api.app import create_app
    from core.db.engine import Database
    from core.settings import load_settings

    settings = load_settings(_PLACEHOLDERS)
    return create_app(settings, Database(settings.require_database_url()))


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

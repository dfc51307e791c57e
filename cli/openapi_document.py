"""The OpenAPI documents of the REST API, made without a database."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from cli import generated
from cli.faults import Fault
from cli.openapi_breaks import breaks, without_words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fastapi import FastAPI


BASELINE: Final = "promised/operations.json"
"""What clients have been promised: the documents without their words."""
ACCEPTED: Final = "accepted.md"
"""Which promises were broken on purpose, and why."""

# The application wants a key and a database before it can say what it offers; it uses neither for that.
_PLACEHOLDERS = {"SLUICE_MASTER_KEY": base64.b64encode(bytes(32)).decode(), "SLUICE_DATABASE_URL": "postgresql://"}


def render() -> str:
    """All areas as one document, stable and diffable."""
    return _text(_application().openapi())


def render_areas() -> dict[str, str]:
    """One document per area, by file name."""
    return {f"{area}.json": _text(document) for area, document in _areas().items()}


def emit(output: Path | None, *, check: bool, accept: str = "") -> None:
    """Print one document of everything, or write one per area into the directory `output`; with `check`, only compare.

    What clients have been promised is recorded beside them (BASELINE). Additions are recorded as they come; what would break
    clients only with `accept`, the reason why it may, which is noted too.

    Raises: Fault: the files differ or cannot be written, or something breaks clients.
    """
    if output is None:
        sys.stdout.write(render())
        return
    areas = _areas()
    wanted = {f"{area}.json": _text(document) for area, document in areas.items()}
    stale = [file for file in sorted(output.glob("*.json")) if file.name not in wanted]
    if check and stale:
        raise Fault(f"{stale[0]} is not generated any more: run `make gen`")
    for name, document in wanted.items():
        generated.emit(document, output / name, check=check)
    for file in stale:
        file.unlink()
    _keep_promises(output / BASELINE, _whole(areas.values()), check=check, accept=accept)


def _keep_promises(baseline: Path, whole: dict[str, Any], *, check: bool, accept: str) -> None:
    broken = breaks(json.loads(baseline.read_text()), whole) if baseline.exists() else []
    if broken and not accept:
        print(*broken, sep="\n", file=sys.stderr)
        raise Fault(
            f'{len(broken)} changes of the REST API break clients; if they have to: make gen ACCEPT="the reason"'
        )
    if broken:
        with (baseline.parent / ACCEPTED).open("a") as notes:
            notes.writelines([f"\n{accept}\n\n", *(f"- {line}\n" for line in broken)])
    generated.emit(_by_line(without_words(whole)), baseline, check=check)


def _whole(areas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The areas as one document: an operation may move from one to another."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for document in areas:
        for path, item in document["paths"].items():
            paths[path] = {**paths.get(path, {}), **item}
        schemas |= document["components"]["schemas"]
    return {"paths": paths, "components": {"schemas": schemas}}


def _by_line(document: dict[str, Any]) -> str:
    """A line for each path and each component: small, and differences show what is different."""
    parts = {"paths": document["paths"], "schemas": document["components"]["schemas"]}
    texts = {
        part: ",\n".join(
            f"{json.dumps(name)}: {json.dumps(item, sort_keys=True)}" for name, item in sorted(items.items())
        )
        for part, items in parts.items()
    }
    return f'{{"paths": {{\n{texts["paths"]}\n}}, "components": {{"schemas": {{\n{texts["schemas"]}\n}}}}}}\n'


def _areas() -> dict[str, dict[str, Any]]:
    from api.openapi import documents

    return documents(_application())


def _application() -> FastAPI:
    from api.app import create_app
    from core.db.engine import Database
    from core.settings import load_settings

    settings = load_settings(_PLACEHOLDERS)
    return create_app(settings, Database(settings.require_database_url()))


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

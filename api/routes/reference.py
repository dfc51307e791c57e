"""The OpenAPI documents and a page that shows them, for everybody: they say what there is, and nothing of anybody's.

The files are those of the folder `openapi/`, which tests hold against the routes. They are read once, by the first who asks.
"""

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.errors import NotFound
from schema.version import VERSION

router = APIRouter(prefix="/openapi", redirect_slashes=False, include_in_schema=False)

_FOLDER: Final = Path(__file__).parents[2] / "openapi"
_PAGE: Final = "page.html"
_INDEX: Final = "index.json"
_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
# The page loads what is beside it, and nothing else; nobody frames it, and it sends nothing anywhere.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Asked for anew after five minutes, and then answered with 304 until this program is another one.
_CACHING: Final = "public, max-age=300"


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it is sent."""

    content: bytes
    packed: bytes
    tag: str
    media_type: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "_File":
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(content, gzip.compress(content, mtime=0), digest, _TYPES[Path(name).suffix])


@cache
def _files() -> Mapping[str, _File]:
    """What can be asked for, by name; nothing where the folder is not installed."""
    found = {path.name: path.read_bytes() for path in sorted(_FOLDER.glob("*")) if path.suffix in _TYPES}
    documents = [name for name in found if name.endswith(".json")]
    if documents:
        found[_INDEX] = json.dumps(_index({name: json.loads(found[name]) for name in documents})).encode()
    return MappingProxyType({name: _File.of(name, content) for name, content in found.items()})


def _index(documents: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "documents": [
            {
                "name": name.removesuffix(".json"),
                "title": document["info"]["title"],
                "openapi": document["openapi"],
                "url": f"{router.prefix}/{name}",
                "operations": sum(len(item) for item in document["paths"].values()),
            }
            for name, document in documents.items()
        ],
    }


@router.get("")
@router.get("/", name="get_reference_page")
def get_reference(request: Request) -> Response:
    """The page that lists all operations."""
    return _answer(request, _PAGE)


@router.get("/{name}")
def get_reference_file(request: Request, name: str) -> Response:
    """One document, the list of them (`index.json`), or a part of the page."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    file = _files().get(name)
    if file is None:
        raise NotFound("document", name)
    packed = _takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{file.tag}{"-gzip" if packed else ""}"'
    headers = {**_HEADERS, "ETag": tag, "Cache-Control": _CACHING, "Vary": "Accept-Encoding"}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.content, headers=headers, media_type=file.media_type)


def _takes_gzip(accepted: str) -> bool:
    """Source: RFC 9110, section 12.5.3; a weight of 0 refuses."""
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False

"""Request bodies whose shape only the declarations know: JSON, or forms as the Admin API takes them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from api import json_bodies, multipart
from core.crud.errors import InvalidRequest
from schema.base import Document, Entity
from schema.forms import MOST_ARGUMENTS, FormError, document_of
from schema.registry import registry

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Content:
    """A body that was read: a JSON value, or the arguments of a form, which mean something only to a declaration."""

    value: object = None
    arguments: tuple[tuple[str, object], ...] | None = None

    def document(
        self, entity: type[Entity] | None = None, stored: Callable[[], Mapping[str, Any]] | None = None
    ) -> object:
        """The JSON value; of a form, what it says about such an entity (None: all of it is text).

        `stored` gives the entity that is to be changed. Raises InvalidRequest: a form that makes no sense.
        """
        if self.arguments is None:
            return self.value
        known: Document = dict(stored()) if stored is not None else {}
        try:
            return document_of(self.arguments, entity, registry(), known)
        except FormError as error:
            raise InvalidRequest(str(error)) from None


def read(raw: bytes, content_type: str) -> Content:
    """The content of a body. Without a type it is JSON.

    Raises: InvalidRequest: it is not what its type says; HTTPException: 415, a type that nobody reads here.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return _form(_pairs(raw))
    if kind == MULTIPART:
        return _form(multipart.arguments(raw, multipart.boundary_of(content_type)))
    if not kind or kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return Content(json_bodies.parse(raw))
    raise HTTPException(415, f"The body must be application/json, {FORM} or {MULTIPART}")


def _form(arguments: Iterable[tuple[str, object]]) -> Content:
    return Content(arguments=tuple(arguments))


def _pairs(raw: bytes) -> Iterable[tuple[str, str]]:
    try:
        text = raw.decode()
        if text.count("&") >= MOST_ARGUMENTS:
            raise InvalidRequest("Too many arguments")
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeError:
        raise InvalidRequest("the form is not valid UTF-8") from None


async def _body(request: Request) -> Content:
    return read(await request.body(), request.headers.get("content-type", ""))


Body = Annotated[Content, Depends(_body)]

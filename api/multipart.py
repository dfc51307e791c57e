"""`multipart/form-data` as names and values. Bodies are bounded and in memory already (api/middleware.py).

Source: RFC 7578, RFC 2046 section 5.1.
"""

from collections.abc import Iterator
from email.message import Message
from typing import Final

from api import json_bodies
from core.crud.errors import InvalidRequest
from schema.forms import MOST_ARGUMENTS

_LONGEST_HEAD: Final = 8192
"""Of one part, in bytes."""
_LONGEST_BOUNDARY: Final = 70


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type` names. Raises InvalidRequest: none, or an impossible one."""
    boundary = _parameter("content-type", content_type[:_LONGEST_HEAD], "boundary")
    if not boundary or len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise InvalidRequest("the multipart body has no valid boundary")
    return boundary.encode()


def arguments(raw: bytes, boundary: bytes) -> Iterator[tuple[str, object]]:
    """The parts in their order. A file's content is its text; a part of type `application/json` is decoded.

    Raises: InvalidRequest: broken framing, a part without a name, not UTF-8, too many parts.
    """
    delimiter = b"\r\n--" + boundary
    whole = b"\r\n" + raw
    if whole.count(delimiter) > MOST_ARGUMENTS + 1:
        raise InvalidRequest("Too many arguments")
    _preamble, *parts = whole.split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise InvalidRequest("the multipart body is cut off: its closing boundary is missing")
    for part in parts[:-1]:
        head, blank, content = part.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not blank or len(head) > _LONGEST_HEAD:
            raise InvalidRequest("a part of the multipart body has no valid head")
        yield _argument(head, content)


def _argument(head: bytes, content: bytes) -> tuple[str, object]:
    try:
        fields = dict(_fields(head.decode()))
        name = _parameter("content-disposition", fields.get("content-disposition", ""), "name")
        if not name:
            raise InvalidRequest("a part of the multipart body has no name")
        if fields.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            return name, json_bodies.parse(content)
        return name, content.decode()
    except UnicodeError:
        raise InvalidRequest("the multipart body is not valid UTF-8") from None


def _fields(head: str) -> Iterator[tuple[str, str]]:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def _parameter(header: str, value: str, name: str) -> str | None:
    message = Message()
    message[header] = value.replace("\r", "").replace("\n", "")
    found = message.get_param(name, header=header)
    return found if isinstance(found, str) else None

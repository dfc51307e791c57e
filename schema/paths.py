"""Paths of services and routes: what is wrong with a text, in Kong's words. None means nothing."""

import re

from schema.patterns import regex_fault

_PATH_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*", re.ASCII)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _text_fault(value: str) -> str | None:
    if "//" in value:
        return "must not have empty segments"
    if not _PATH_CHARACTERS.fullmatch(value):
        return f"invalid path: '{value}' (characters outside of the reserved list of RFC 3986 found)"
    if (broken := _PERCENT.search(value)) is not None:
        return f"invalid url-encoded value: '{value[broken.start() : broken.start() + 3]}'"
    return None


def normal_path(path: str) -> str:
    """RFC 3986 section 6.2.2: unreserved escapes decoded, the others in upper case, dot segments resolved."""

    def unescape(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0].upper()

    kept: list[str] = []
    segments = _ESCAPE.sub(unescape, path).split("/")[1:]
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def path_fault(value: str) -> str | None:
    return _text_fault(value) if value.startswith("/") else "should start with: /"


def route_path_fault(value: str) -> str | None:
    if value.startswith("~/"):
        wrong = regex_fault(value[1:])
        return None if wrong is None else f"invalid regex: '{value[1:]}' ({wrong})"
    if not value.startswith("/"):
        return "should start with: / (fixed path) or ~/ (regex path)"
    wrong = _text_fault(value)
    if wrong is None and (normal := normal_path(value)) != value:
        return f"non-normalized path, consider use '{normal}' instead"
    return wrong

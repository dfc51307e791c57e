"""Reading a plugin's schema in Lua just far enough to know whose it is.

The text is never run. Source: the Lua 5.1 reference manual, section 2.1 (lexical conventions).
"""

import re
from collections.abc import Iterator
from typing import Final

_BLANK: Final = re.compile(r"\s+")
_LONG: Final = re.compile(r"\[(=*)\[")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLAIN: Final = re.compile(r"[^'\"\\\n]+")
_OPENING: Final = frozenset("{([")
_CLOSING: Final = frozenset("})]")
_SIGNS: Final = _OPENING | _CLOSING | {"=", ",", ";"}


def plugin_name(text: str) -> str | None:
    """The `name` of a schema, in the outermost table that has one: a string, or a variable that was given a string.

    Of several at the same depth the last one counts, as `return { name = … }` comes last in a file. None: there is none.
    """
    best: tuple[int, str] | None = None
    variables: dict[str, str] = {}
    depth = 0
    behind: tuple[str, str] = ("", "")
    for kind, value in _tokens(text):
        if kind == "sign":
            depth += (value in _OPENING) - (value in _CLOSING)
        word, equals = behind
        if equals == "=" and word and kind in ("string", "word"):
            known = value if kind == "string" else variables.get(value)
            if depth <= 0 and known is not None:
                variables[word] = known
            elif depth > 0 and word == "name" and known is not None and (best is None or depth <= best[0]):
                best = (depth, known)
        behind = (behind[1], "" if kind in ("string", "other") else value)
    return None if best is None else best[1]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Words, signs and strings with what they say; comments are left out. What never ends ends the text."""
    at: int | None = 0
    while at is not None and at < len(text):
        if (blank := _BLANK.match(text, at)) is not None:
            at = blank.end()
        elif text.startswith("--", at):
            _, end = _long_string(text, at + 2)
            line = text.find("\n", at)
            at = end if _LONG.match(text, at + 2) else line if line >= 0 else None
        elif _LONG.match(text, at) or text[at] in "'\"":
            said, at = _long_string(text, at) if text[at] == "[" else _string(text, at)
            if at is not None:
                yield "string", said
        elif (word := _WORD.match(text, at)) is not None:
            yield "word", word[0]
            at = word.end()
        else:
            yield "sign" if text[at] in _SIGNS else "other", text[at]
            at += 1


def _long_string(text: str, start: int) -> tuple[str, int | None]:
    """What a string in long brackets says and where it ends; None if it does not."""
    opened = _LONG.match(text, start)
    if opened is None:
        return "", None
    closing = f"]{opened[1]}]"
    end = text.find(closing, opened.end())
    return ("", None) if end < 0 else (text[opened.end() : end], end + len(closing))


def _string(text: str, start: int) -> tuple[str, int | None]:
    """What a string in quotes says, escapes as written, and where it ends; None if it does not."""
    quote, at = text[start], start + 1
    while at < len(text) and text[at] != "\n":
        if text[at] == quote:
            return text[start + 1 : at], at + 1
        plain = _PLAIN.match(text, at)
        at = plain.end() if plain is not None else at + 2 if text[at] == "\\" else at + 1
    return "", None

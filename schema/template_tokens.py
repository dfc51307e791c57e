"""Tokens of the expressions inside `$(…)`: a part of Lua 5.1, split exactly as gateways split it.

Source: Lua 5.1 reference manual, section 2.1. Texts are bytes, because an escape may name any byte.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Final


class TemplateFault(ValueError):
    """The text of a hole is no expression; the message is for whoever wrote it."""


class Kind(Enum):
    """What a token is."""

    NAME = auto()
    TEXT = auto()
    NUMBER = auto()
    SYMBOL = auto()
    """An operator, punctuation mark or keyword."""
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token; `spelling` is what messages quote, and for symbols what they are."""

    kind: Kind
    spelling: str


END: Final = Token(Kind.END, "<eof>")

_KEYWORD: Final = re.compile(
    "and|break|do|else|elseif|end|false|for|function|goto|if|in|local|nil|not|or|repeat|return|then|true|until|while"
)
_BLANKS: Final = re.compile(rb"[ \t\n\r\f\v]*")
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_SYMBOL: Final = re.compile(rb"\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}\[\];:,.]")
_LONG_OPENING: Final = re.compile(rb"\[(=*)\[(?:\r\n|\n\r|\r|\n)?")
_DECIMAL_RUN: Final = re.compile(rb"(?:[eE][+-]|[0-9A-Za-z._])+")
_HEXADECIMAL_RUN: Final = re.compile(rb"(?:[pP][+-]|[0-9A-Za-z._])+")
_DECIMAL: Final = re.compile(rb"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(rb"0[xX](?=\.?[0-9A-Fa-f])([0-9A-Fa-f]*)(?:\.([0-9A-Fa-f]*))?(?:[pP]([+-]?)([0-9]+))?")
_LARGEST_EXPONENT: Final = 2**31 - 1
_PLAIN_TEXT: Final = re.compile(rb"[^\\\n\r\"']+")
_SIMPLE_ESCAPES: Final = dict(zip(b"abfnrtv\n\r\\\"'", b"\a\b\f\n\r\t\v\n\r\\\"'", strict=True))
_HEX_BYTE: Final = re.compile(rb"[0-9A-Fa-f]{2}")
_BYTE: Final = re.compile(rb"[0-9]{1,3}")
_SKIPPED: Final = re.compile(rb"[ \t\n\r\f]*")
_CODE_POINT: Final = re.compile(rb"\{([0-9A-Fa-f]{1,8})\}")


def tokens(source: bytes) -> list[Token]:
    """All tokens, the last being `END`.

    Raises: TemplateFault: something is no token.
    """
    found: list[Token] = []
    at = 0
    while True:
        at = _after_blanks(source, at)
        if at >= len(source):
            return [*found, END]
        token, at = _token(source, at)
        found.append(token)


def _token(source: bytes, at: int) -> tuple[Token, int]:
    first = source[at : at + 1]
    if first in {b'"', b"'"}:
        return _quoted(source, at)
    if first == b"[" and (after := _after_long_bracket(source, at)) is not None:
        text, end = after
        return Token(Kind.TEXT, _spelled(text)), end
    if first.isdigit() or (first == b"." and source[at + 1 : at + 2].isdigit()):
        return _number(source, at)
    if (name := _NAME.match(source, at)) is not None:
        word = name[0].decode("ascii")
        return Token(Kind.SYMBOL if _KEYWORD.fullmatch(word) else Kind.NAME, word), name.end()
    if (symbol := _SYMBOL.match(source, at)) is not None:
        return Token(Kind.SYMBOL, symbol[0].decode("ascii")), symbol.end()
    raise TemplateFault(f"unexpected symbol near '{_escaped(source[at])}'")


def _after_blanks(source: bytes, at: int) -> int:
    """Skips blanks and comments."""
    while True:
        at = _end(_BLANKS, source, at)
        if not source.startswith(b"--", at):
            return at
        at += 2
        if source.startswith(b"[", at) and (after := _after_long_bracket(source, at)) is not None:
            at = after[1]
            continue
        line_end = source.find(b"\n", at)
        at = len(source) if line_end < 0 else line_end


def _after_long_bracket(source: bytes, at: int) -> tuple[bytes, int] | None:
    """The text of `[[…]]` or `[=[…]=]` and where it ends; None when the bracket opens something else."""
    opening = _LONG_OPENING.match(source, at)
    if opening is None:
        return None
    closing = b"]" + opening[1] + b"]"
    end = source.find(closing, opening.end())
    if end < 0:
        raise TemplateFault("unfinished long string")
    return source[opening.end() : end], end + len(closing)


def _number(source: bytes, at: int) -> tuple[Token, int]:
    run = _HEXADECIMAL_RUN if source[at : at + 2] in {b"0x", b"0X"} else _DECIMAL_RUN
    end = _end(run, source, at)
    text = source[at:end]
    value = _value(text)
    if value is None:
        raise TemplateFault(f"malformed number near '{_spelled(text)}'")
    return Token(Kind.NUMBER, _printed(value)), end


def _value(text: bytes) -> float | None:
    if _DECIMAL.fullmatch(text):
        return float(text)
    parts = _HEXADECIMAL.fullmatch(text)
    if parts is None:
        return None
    digits = (parts[4] or b"").lstrip(b"0")
    exponent = int(b"%b%b" % (parts[3] or b"+", digits or b"0")) if len(digits) < 16 else _LARGEST_EXPONENT + 1
    if not -_LARGEST_EXPONENT - 1 <= exponent <= _LARGEST_EXPONENT:
        return None
    fraction = parts[2] or b""
    try:
        return math.ldexp(int(parts[1] + fraction, 16), exponent - 4 * len(fraction))
    except OverflowError:
        return math.inf


def _printed(value: float) -> str:
    """All digits and no exponent: how gateways quote a number."""
    if math.isinf(value):
        return "inf"
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _quoted(source: bytes, at: int) -> tuple[Token, int]:
    quote = source[at]
    at += 1
    text = bytearray()
    while True:
        if (plain := _PLAIN_TEXT.match(source, at)) is not None:
            text += plain[0]
            at = plain.end()
        if at >= len(source) or source[at] in b"\n\r":
            raise TemplateFault("unfinished string")
        byte = source[at]
        at += 1
        if byte == quote:
            return Token(Kind.TEXT, _spelled(bytes(text))), at
        if byte == ord("\\"):
            meaning, at = _escape(source, at)
            text += meaning
        else:
            text.append(byte)


def _escape(source: bytes, at: int) -> tuple[bytes, int]:
    """What the escape behind a backslash stands for, and where it ends."""
    if at >= len(source):
        raise TemplateFault("unfinished string")
    letter = source[at]
    if letter in _SIMPLE_ESCAPES:
        return bytes((_SIMPLE_ESCAPES[letter],)), at + 1
    if letter == ord("z"):
        return b"", _end(_SKIPPED, source, at + 1)
    if letter == ord("x") and (digits := _HEX_BYTE.match(source, at + 1)) is not None:
        return bytes((int(digits[0], 16),)), digits.end()
    if (digits := _BYTE.match(source, at)) is not None and int(digits[0]) <= 255:
        return bytes((int(digits[0]),)), digits.end()
    if letter == ord("u") and (digits := _CODE_POINT.match(source, at + 1)) is not None:
        code = int(digits[1], 16)
        if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            return chr(code).encode(), digits.end()
    raise TemplateFault("invalid escape sequence")


def _end(pattern: re.Pattern[bytes], source: bytes, at: int) -> int:
    found = pattern.match(source, at)
    return at if found is None else found.end()


def _spelled(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _escaped(byte: int) -> str:
    """One byte that begins no token, visible: as itself when it can be printed."""
    char = chr(byte)
    return char if " " <= char <= "~" and char != "\\" else "\\\\" if char == "\\" else f"\\u{{{byte:x}}}"

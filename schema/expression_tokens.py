"""The words of routing expressions: fields, operators, strings, numbers, addresses and networks."""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class ExpressionFault(ValueError):
    """Why an expression is none; the text is for its author."""


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    SYMBOL = "symbol"
    TEXT = "text"
    NUMBER = "number"
    ADDRESS = "address"
    NETWORK = "network"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A word and its place in bytes."""

    kind: Kind
    text: str
    at: int


_SPACE: Final = re.compile(r"[ \t\r\n]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\[nrt\\"])*)"')
_RAW: Final = re.compile(r'r#"(.*?)"#', re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z0-9:-][A-Za-z0-9_.:/]*")
_SYMBOL: Final = re.compile(r"==|!=|=\^|\^=|>=|<=|&&|\|\||[~><!()]")
_NUMBER: Final = re.compile(r"-?(?:0x(?P<hex>[0-9A-Fa-f]+)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))")
_NETWORK: Final = re.compile(r"([^/]*)/([0-9]{1,3})")
_ESCAPE: Final = re.compile(r'\\([nrt\\"])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
_MAX_INTEGER: Final = 2**63


def tokens(expression: str) -> list[Token]:
    """All tokens, the last of which is the end.

    Raises: ExpressionFault: something that is no token.
    """
    found: list[Token] = []
    at = 0
    while at < len(expression):
        place = len(expression[:at].encode()) if not expression.isascii() else at
        if space := _SPACE.match(expression, at):
            at = space.end()
            continue
        if expression[at] == '"':
            if (quoted := _QUOTED.match(expression, at)) is None:
                raise ExpressionFault(f"unfinished or ill-escaped string at {place}")
            value = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], quoted[1])
            token, at = Token(Kind.TEXT, value, place), quoted.end()
        elif expression.startswith('r#"', at):
            if (raw := _RAW.match(expression, at)) is None:
                raise ExpressionFault(f"unfinished raw string at {place}")
            token, at = Token(Kind.TEXT, raw[1], place), raw.end()
        elif word := _WORD.match(expression, at):
            token, at = Token(_kind_of(word[0], place), word[0], place), word.end()
        elif symbol := _SYMBOL.match(expression, at):
            token, at = Token(Kind.SYMBOL, symbol[0], place), symbol.end()
        else:
            raise ExpressionFault(f"unexpected '{expression[at]}' at {place}")
        found.append(token)
    return [*found, Token(Kind.END, "", len(expression.encode()))]


def _kind_of(word: str, place: int) -> Kind:
    digits = word.removeprefix("-")[:1].isdigit()
    if "/" in word:
        network = _NETWORK.fullmatch(word)
        if network is not None and _is_network(network[1], network[2]):
            return Kind.NETWORK
    elif digits and ":" not in word and "." not in word:
        if _is_number(word):
            return Kind.NUMBER
    elif ":" in word or digits:
        if _is_address(word):
            return Kind.ADDRESS
    elif all(word.split(".")) and not word.startswith("-"):
        return Kind.WORD
    raise ExpressionFault(f"cannot read '{word}' at {place}")


def _is_number(word: str) -> bool:
    number = _NUMBER.fullmatch(word)
    if number is None:
        return False
    if number["hex"]:
        size = int(number["hex"], 16)
    elif number["octal"]:
        size = int(number["octal"], 8)
    elif len(number["decimal"]) > len(str(_MAX_INTEGER)):
        return False
    else:
        size = int(number["decimal"])
    return size <= _MAX_INTEGER - (not word.startswith("-"))


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _is_network(address: str, bits: str) -> bool:
    """Bits of the host must be zero: whoever sets them means something else."""
    try:
        ipaddress.ip_network(f"{address}/{int(bits)}")
    except ValueError:
        return False
    return True

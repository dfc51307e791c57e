"""The smallest pieces of a route's regular expression: characters, escapes, character classes.

Costs are bytes of the compiled program, estimated from above. Source of syntax: documentation of the `regex` crate.
"""

import re
from dataclasses import dataclass
from typing import Final

from schema.unicode_names import GENERAL_CATEGORIES, SCRIPTS


class PatternFault(ValueError):
    """Why a pattern is refused, in the words in which gateways say it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a pattern: how large it gets when compiled, and how deep it nests."""

    cost: int
    height: int = 0


@dataclass(frozen=True, slots=True)
class _Item:
    """What stands at one place: a character, or (`char` None) a set of them or an assertion."""

    cost: int
    char: str | None = None
    assertion: bool = False


class Scanner:
    """A text and a place in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._text[at] if at < len(self._text) else None

    def skip(self, count: int) -> None:
        self._at += count

    def take(self) -> str | None:
        """The next character, None at the end."""
        char = self.peek()
        self._at += 1
        return char

    def accept(self, prefix: str) -> bool:
        found = self._text.startswith(prefix, self._at)
        self._at += len(prefix) * found
        return found

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Takes what a pattern that may match nothing matches here."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise PatternFault("incomplete escape sequence, reached end of pattern prematurely")
        self._at = found.end()
        return found

    def accept_match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found


_BYTE_COST: Final = 40
_CASED_COST: Final = 512
"""A letter without regard to case: `k` is also the Kelvin sign."""
_ASSERTION_COST: Final = 32
_DOT_COST: Final = 1200
_CLASS_COST: Final = 64
_WIDE_RANGE_COST: Final = 1200
"""A range that reaches beyond ASCII: one path through the automaton per length of its UTF-8."""
_CASED_WIDE_RANGE_COST: Final = 12_000
_ASCII_SET_COST: Final = 2_000
_CATEGORY_COST: Final = 52_000
_SCRIPT_COST: Final = 16_500
_PERL_COSTS: Final = {"d": 5_200, "D": 13_200, "s": 800, "S": 2_400, "w": 51_200, "W": 51_200}
_MAX_NESTED_CLASSES: Final = 50
_ASCII_CLASS: Final = re.compile(
    r"\[:\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_SPECIAL_CHARACTERS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_ASSERTIONS: Final = frozenset("AzbB<>")
_WORD_BOUNDARY: Final = re.compile(r"\{([A-Za-z-]+)(\}?)")
_WORD_BOUNDARIES: Final = frozenset({"start", "end", "start-half", "end-half"})
_HEX_DIGITS: Final = {"x": 2, "u": 4, "U": 8}
_HEX: Final = re.compile(r"[0-9A-Fa-f]*")
_UP_TO_BRACE: Final = re.compile(r"[^}]*")
_PROPERTY_VALUE: Final = re.compile(r"(.*?)(?:!=|:|=)(.*)", re.DOTALL)
_CATEGORY_NAMES: Final = frozenset({"gc", "generalcategory"})
_SCRIPT_NAMES: Final = frozenset({"sc", "script"})
_INCOMPLETE: Final = "incomplete escape sequence, reached end of pattern prematurely"


def single(scanner: Scanner, *, ignore_case: bool) -> Piece:
    """One character, escape, dot or assertion outside of brackets."""
    char = scanner.peek()
    if char == "\\":
        item = _escape(scanner)
        return Piece(item.cost if item.char is None else _character_cost(item.char, ignore_case=ignore_case))
    scanner.skip(1)
    if char == ".":
        return Piece(_DOT_COST)
    if char is None or char in "^$":
        return Piece(_ASSERTION_COST)
    return Piece(_character_cost(char, ignore_case=ignore_case))


def bracketed(scanner: Scanner, *, ignore_case: bool, depth: int = 1) -> Piece:
    """A class in brackets, the ones within it included."""
    if depth > _MAX_NESTED_CLASSES:
        raise PatternFault(f"exceed the maximum number of nested parentheses/brackets ({_MAX_NESTED_CLASSES})")
    scanner.skip(1)
    cost = _CLASS_COST
    if scanner.accept("^"):
        cost += _DOT_COST
    empty = True
    while scanner.accept("-"):
        cost += _BYTE_COST
        empty = False
    if empty and scanner.accept("]"):
        cost += _BYTE_COST
    height = 2
    deepest = 0
    while (char := scanner.peek()) != "]":
        if char is None:
            raise PatternFault("unclosed character class")
        if char == "[":
            if scanner.accept_match(_ASCII_CLASS) is not None:
                cost += _ASCII_SET_COST
                continue
            nested = bracketed(scanner, ignore_case=ignore_case, depth=depth + 1)
            cost += nested.cost
            deepest = max(deepest, nested.height)
        elif char in "&-~" and scanner.peek(1) == char:
            scanner.skip(2)
            cost += _DOT_COST
            height += 1
        else:
            cost += _class_item(scanner, ignore_case=ignore_case)
    scanner.skip(1)
    return Piece(cost, height + deepest)


def _class_item(scanner: Scanner, *, ignore_case: bool) -> int:
    """The cost of a character, a range or a set within brackets."""
    first = _class_primitive(scanner)
    if scanner.peek() is None:
        raise PatternFault("unclosed character class")
    if scanner.peek() != "-" or scanner.peek(1) in {"]", "-"}:
        if first.assertion:
            raise PatternFault("invalid escape sequence found in character class")
        return first.cost if first.char is None else _range_cost(first.char, first.char, ignore_case=ignore_case)
    scanner.skip(1)
    if scanner.peek() is None:
        raise PatternFault("unclosed character class")
    last = _class_primitive(scanner)
    if first.char is None or last.char is None:
        raise PatternFault("invalid range boundary, must be a literal")
    if first.char > last.char:
        raise PatternFault("invalid character class range, the start must be <= the end")
    return _range_cost(first.char, last.char, ignore_case=ignore_case)


def _class_primitive(scanner: Scanner) -> _Item:
    if scanner.peek() == "\\":
        return _escape(scanner)
    return _Item(0, char=scanner.take())


def _character_cost(char: str, *, ignore_case: bool) -> int:
    if ignore_case and char.isalpha():
        return _CASED_COST
    return _BYTE_COST * len(char.encode("utf-8", "surrogatepass"))


def _range_cost(first: str, last: str, *, ignore_case: bool) -> int:
    if last <= "\x7f":
        return _CASED_COST if ignore_case else _BYTE_COST
    return _CASED_WIDE_RANGE_COST if ignore_case and first != last else _WIDE_RANGE_COST


def _escape(scanner: Scanner) -> _Item:
    scanner.skip(1)
    char = scanner.take()
    if char is None:
        raise PatternFault(_INCOMPLETE)
    if char in "0123456789":
        raise PatternFault("backreferences are not supported")
    if char in _HEX_DIGITS:
        return _Item(0, char=_hexadecimal(scanner, _HEX_DIGITS[char]))
    if char in "pP":
        return _Item(_property_cost(_property_name(scanner)))
    if char in _PERL_COSTS:
        return _Item(_PERL_COSTS[char])
    if char in _SPECIAL_CHARACTERS:
        return _Item(0, char=_SPECIAL_CHARACTERS[char])
    if char in _ASSERTIONS:
        if char == "b":
            _word_boundary(scanner)
        return _Item(_ASSERTION_COST, assertion=True)
    if not char.isascii() or char.isalnum():
        raise PatternFault("unrecognized escape sequence")
    return _Item(0, char=char)


def _word_boundary(scanner: Scanner) -> None:
    r"""What may follow `\b`: `{start}` and the like; a number in braces is a repetition."""
    if scanner.peek() == "{" and scanner.peek(1) is None:
        raise PatternFault("found a \\b with an opening brace, but no closing brace")
    special = scanner.accept_match(_WORD_BOUNDARY)
    if special is None:
        return
    if not special[2]:
        raise PatternFault("special word boundary assertion is either unclosed or contains an invalid character")
    if special[1] not in _WORD_BOUNDARIES:
        raise PatternFault("unrecognized special word boundary assertion")


def _hexadecimal(scanner: Scanner, digits: int) -> str:
    if scanner.accept("{"):
        text = scanner.match(_HEX)[0]
        closing = scanner.take()
        if closing is None:
            raise PatternFault(_INCOMPLETE)
        if closing != "}":
            raise PatternFault("invalid hexadecimal digit")
        if not text:
            raise PatternFault("hexadecimal literal empty")
    else:
        text = ""
        while len(text) < digits:
            digit = scanner.take()
            if digit is None:
                raise PatternFault(_INCOMPLETE)
            if not _HEX.fullmatch(digit):
                raise PatternFault("invalid hexadecimal digit")
            text += digit
    code = int(text, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise PatternFault("hexadecimal literal is not a Unicode scalar value")
    return chr(code)


def _property_name(scanner: Scanner) -> str:
    if scanner.accept("{"):
        name = scanner.match(_UP_TO_BRACE)[0]
        if not scanner.accept("}"):
            raise PatternFault(_INCOMPLETE)
        return name
    name = scanner.take()
    if name is None:
        raise PatternFault(_INCOMPLETE)
    if name == "\\":
        raise PatternFault("invalid Unicode character class")
    return name


def _property_cost(name: str) -> int:
    """The cost of what stands behind a backslash and p: a category, a script, or one of them as a value."""
    pair = _PROPERTY_VALUE.fullmatch(name)
    kind, value = ("", _plain(name)) if pair is None else (_plain(pair[1]), _plain(pair[2]))
    if pair is not None and kind not in {*_CATEGORY_NAMES, *_SCRIPT_NAMES}:
        raise PatternFault("Unicode property not found")
    if kind not in _SCRIPT_NAMES and value in GENERAL_CATEGORIES:
        return _CATEGORY_COST
    if kind not in _CATEGORY_NAMES and value in SCRIPTS:
        return _SCRIPT_COST
    raise PatternFault("Unicode property not found" if pair is None else "Unicode property value not found")


def _plain(name: str) -> str:
    """The form in which Unicode compares names (UAX #44, LM3)."""
    text = "".join(char for char in name.lower() if char.isascii() and char not in " _-")
    return text[2:] if name[:2].lower() == "is" else text

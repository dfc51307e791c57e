"""Routing expressions: whether gateways compile them, without evaluating them.

```
http.path ^= "/api" && (http.method == "GET" || any(http.headers.x_debug) == "1")
```

What a gateway would refuse is refused here, when the route is written, for a gateway refuses a configuration as a
whole. The corpus `tests/corpus/route_expressions.json` is run against both.

Source: Kong Gateway docs, expressions language reference.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from schema.expression_tokens import ExpressionFault, Kind, Token, tokens
from schema.patterns import regex_fault

MAX_BYTES: Final = 16 << 10
"""Longest expression."""
MAX_DEPTH: Final = 64
"""Deepest nesting of parentheses."""
MAX_PATTERN_BYTES: Final = 4096
"""Longest regular expression in one."""

_Type = Literal["text", "list", "number", "address"]

_FIELDS: Final[dict[str, _Type]] = {
    **dict.fromkeys(("net.protocol", "tls.sni", "http.method", "http.host", "http.path"), "text"),
    **dict.fromkeys(("net.src.port", "net.dst.port", "net.port", "http.path.segments.len"), "number"),
    **dict.fromkeys(("net.src.ip", "net.dst.ip"), "address"),
}
_SEGMENT_NUMBER: Final = "(?:0|[1-9][0-9]{0,3})"
_SEGMENTS: Final = re.compile(rf"({_SEGMENT_NUMBER})(?:_({_SEGMENT_NUMBER}))?")
_TEXT_OPERATORS: Final = frozenset({"==", "!=", "~", "^=", "=^", "contains"})
_NUMBER_OPERATORS: Final = frozenset({"==", "!=", ">", ">=", "<", "<="})
_SYMBOLS: Final = frozenset({"==", "!=", "~", "^=", "=^", ">", ">=", "<", "<="})


def expression_fault(expression: str, *, stream: bool = False, most_regexes: int | None = None) -> str | None:
    """Why gateways refuse an expression, None if they compile it.

    `stream` is for routes of connections that are not HTTP, which have fewer fields. More than `most_regexes` are
    refused, though gateways would compile them.
    """
    if len(expression.encode()) > MAX_BYTES:
        return f"longer than {MAX_BYTES} bytes"
    try:
        parser = _Parser(tokens(expression), stream=stream)
        parser.whole()
    except ExpressionFault as fault:
        return str(fault)
    too_many = most_regexes is not None and parser.regexes > most_regexes
    return f"more than {most_regexes} regular expressions" if too_many else None


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    type: _Type


class _Parser:
    def __init__(self, found: list[Token], *, stream: bool) -> None:
        self._tokens = found
        self._next = 0
        self._depth = 0
        self._stream = stream
        self.regexes = 0

    def whole(self) -> None:
        self._either()
        if self._peek().kind is not Kind.END:
            raise self._unexpected("'&&' or '||'")

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._peek()
        self._next += token.kind is not Kind.END
        return token

    def _at(self, symbol: str) -> bool:
        return self._peek().kind is Kind.SYMBOL and self._peek().text == symbol

    def _accept(self, symbol: str) -> bool:
        found = self._at(symbol)
        self._next += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise self._unexpected(f"'{symbol}'")

    def _unexpected(self, expected: str) -> ExpressionFault:
        return ExpressionFault(f"expected {expected} at {self._peek().at}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionFault(f"nested deeper than {MAX_DEPTH}")

    def _either(self) -> None:
        self._both()
        while self._accept("||"):
            self._both()

    def _both(self) -> None:
        self._term()
        while self._accept("&&"):
            self._term()

    def _term(self) -> None:
        if self._accept("!") or self._at("("):
            self._expect("(")
            self._enter()
            self._either()
            self._depth -= 1
            self._expect(")")
        else:
            self._test(self._subject())

    def _subject(self) -> _Subject:
        if self._peek().kind is not Kind.WORD:
            raise self._unexpected("a field")
        name = self._take().text
        if not self._accept("("):
            field = _field_type(name)
            if self._stream and not (name.startswith("net.") or name == "tls.sni"):
                raise ExpressionFault(f"field '{name}' is not known of stream connections")
            return _Subject(name, field)
        self._enter()
        subject = self._subject()
        self._depth -= 1
        self._expect(")")
        if name not in {"lower", "any"}:
            raise ExpressionFault(f"unknown function '{name}'")
        if subject.type not in ({"text", "list"} if name == "lower" else {"list"}):
            raise ExpressionFault(f"'{name}' cannot be used with field '{subject.name}'")
        return subject

    def _test(self, subject: _Subject) -> None:
        operator = self._operator()
        if self._peek().kind in {Kind.WORD, Kind.SYMBOL, Kind.END}:
            raise self._unexpected("a value")
        value = self._take()
        if not _fits(subject.type, operator, value.kind):
            raise ExpressionFault(f"operator '{operator}' does not fit field '{subject.name}' and the value")
        if operator == "~":
            self.regexes += 1
            if len(value.text.encode()) > MAX_PATTERN_BYTES:
                raise ExpressionFault(f"regex is longer than {MAX_PATTERN_BYTES} bytes")
            if (wrong := regex_fault(value.text)) is not None:
                raise ExpressionFault(f"invalid regex: '{value.text}' ({wrong})")

    def _operator(self) -> str:
        token = self._peek()
        symbol = token.kind is Kind.SYMBOL and token.text in _SYMBOLS
        if symbol or (token.kind is Kind.WORD and token.text in {"in", "contains"}):
            return self._take().text
        if token == Token(Kind.WORD, "not", token.at):
            self._take()
            if self._peek().kind is Kind.WORD and self._peek().text == "in":
                self._take()
                return "not in"
            raise ExpressionFault(f"expected an operator at {token.at}")
        raise self._unexpected("an operator")


def _fits(subject: _Type, operator: str, value: Kind) -> bool:
    match subject:
        case "text" | "list":
            return value is Kind.TEXT and operator in _TEXT_OPERATORS
        case "number":
            return value is Kind.NUMBER and operator in _NUMBER_OPERATORS
        case "address":
            return (value is Kind.ADDRESS and operator == "==") or (
                value is Kind.NETWORK and operator in {"in", "not in"}
            )


def _field_type(name: str) -> _Type:
    if name in _FIELDS:
        return _FIELDS[name]
    if name.startswith("http.headers."):
        if any(char.isupper() or char == "." for char in name.removeprefix("http.headers.")):
            raise ExpressionFault(f"header names are written in lower case with '_': '{name}'")
        return "list"
    if name.startswith("http.queries."):
        return "list"
    if name.startswith("http.path.segments."):
        form = _SEGMENTS.fullmatch(name.removeprefix("http.path.segments."))
        if form is None or (form[2] is not None and int(form[1]) >= int(form[2])):
            raise ExpressionFault(f"illformed http.path.segments.* field '{name}'")
        return "text"
    raise ExpressionFault(f"unknown field '{name}'")

"""Value templates: text with `$(expression)` holes. Only whether they compile is decided here; gateways evaluate them.

An expression is the side-effect-free part of Lua 5.1: literals, operators, indexing, table constructors and calls.
Any name may be used; one that means nothing is nil, which is noticed when the template is used. What is accepted
here is exactly what gateways compile, so that no template can keep a whole configuration from becoming live; the
corpus `tests/corpus/template_expressions.json` is run against both.

Source: Lua 5.1 reference manual, sections 2.2 and 2.5.
"""

import re
from collections.abc import Sequence
from typing import Final

from schema.template_tokens import END, Kind, TemplateFault, Token, tokens

MAX_DEPTH: Final = 100
"""How deep an expression may nest."""
MAX_NODES: Final = 4000
"""How many operators, operands and arguments an expression may have."""

_UNARY: Final = 8
"""Binding strength of unary operators: above `*`, below `^`."""
# Left and right binding strength; right below left is right-associative.
_BINARY: Final = {
    "or": (1, 1),
    "and": (2, 2),
    **dict.fromkeys(("<", ">", "<=", ">=", "==", "~="), (3, 3)),
    "..": (5, 4),
    **dict.fromkeys(("+", "-"), (6, 6)),
    **dict.fromkeys(("*", "/", "%"), (7, 7)),
    "^": (10, 9),
}
_PARENTHESIS: Final = re.compile(rb"[()]")


def template_fault(template: str) -> str | None:
    """Why a template does not compile, None if it does.

    A hole reaches from `$(` to the parenthesis that balances it, strings not excepted; without such a parenthesis
    the text stands for itself.
    """
    try:
        for expression in _holes(template.encode()):
            _Parser(tokens(expression)).whole()
    except TemplateFault as fault:
        return str(fault)
    return None


def _holes(text: bytes) -> list[bytes]:
    at = text.find(b"$(")
    if at < 0:
        return []
    closers = _closers(text)
    found: list[bytes] = []
    while at >= 0:
        opener = at + 1
        after = opener + 1
        if (closer := closers.get(opener)) is not None:
            found.append(text[after:closer])
            after = closer + 1
        at = text.find(b"$(", after)
    return found


def _closers(text: bytes) -> dict[int, int]:
    """For each opening parenthesis that has one, the place of the closing one."""
    closers: dict[int, int] = {}
    open_at: list[int] = []
    for found in _PARENTHESIS.finditer(text):
        if found[0] == b"(":
            open_at.append(found.start())
        elif open_at:
            closers[open_at.pop()] = found.start()
    return closers


class _Parser:
    """Precedence climbing over the tokens of one expression; builds nothing."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0
        self._nodes = 0

    def whole(self) -> None:
        self._expression(0)
        if self._peek().kind is not Kind.END:
            raise _unexpected(self._peek())

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else END

    def _symbol(self) -> str | None:
        """The spelling of the next token if it is a symbol."""
        token = self._peek()
        return token.spelling if token.kind is Kind.SYMBOL else None

    def _advance(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _accept(self, symbol: str) -> bool:
        found = self._symbol() == symbol
        self._at += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise TemplateFault(f"'{symbol}' expected near '{self._peek().spelling}'")

    def _name(self) -> None:
        token = self._advance()
        if token.kind is not Kind.NAME:
            raise TemplateFault(f"name expected near '{token.spelling}'")

    def _deepen(self) -> None:
        """Counts one node; chains that grow to the left get as deep as they are long, so they count as depth too."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise TemplateFault("expression is too long")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TemplateFault("expression nests too deeply")

    def _expression(self, limit: int) -> None:
        before = self._depth
        self._deepen()
        if self._symbol() in {"not", "-", "#"}:
            self._at += 1
            self._expression(_UNARY)
        else:
            self._operand()
        while (strength := _BINARY.get(self._symbol() or "")) is not None and strength[0] > limit:
            if self._advance().spelling == "..":
                self._chain(strength[1])
            else:
                self._expression(strength[1])
            self._deepen()
        self._depth = before

    def _chain(self, strength: int) -> None:
        """The rest of `a .. b .. c`: gateways join it in one step, so a long chain is not deep."""
        self._expression(strength + 1)
        while self._accept(".."):
            self._expression(strength + 1)

    def _operand(self) -> None:
        token = self._advance()
        symbol = token.spelling if token.kind is Kind.SYMBOL else None
        if token.kind is Kind.NAME:
            self._suffixes()
        elif symbol == "(":
            self._expression(0)
            self._expect(")")
            self._suffixes()
        elif symbol == "{":
            self._table()
        elif symbol == "function":
            raise TemplateFault("functions cannot be defined here")
        elif token.kind not in {Kind.NUMBER, Kind.TEXT} and symbol not in {"nil", "true", "false"}:
            raise _unexpected(token)

    def _suffixes(self) -> None:
        before = self._depth
        while True:
            symbol = self._symbol()
            if symbol == ".":
                self._at += 1
                self._name()
            elif symbol == "[":
                self._at += 1
                self._expression(0)
                self._expect("]")
            elif symbol == ":":
                self._at += 1
                self._name()
                self._arguments()
            elif symbol in {"(", "{"} or self._peek().kind is Kind.TEXT:
                self._arguments()
            else:
                break
            self._deepen()
        self._depth = before

    def _arguments(self) -> None:
        token = self._advance()
        symbol = token.spelling if token.kind is Kind.SYMBOL else None
        if symbol == "{":
            self._table()
        elif symbol == "(":
            if self._accept(")"):
                return
            self._expression(0)
            while self._accept(","):
                self._expression(0)
            self._expect(")")
        elif token.kind is not Kind.TEXT:
            raise TemplateFault(f"function arguments expected near '{token.spelling}'")

    def _table(self) -> None:
        while not self._accept("}"):
            self._field()
            if not self._accept(",") and not self._accept(";"):
                self._expect("}")
                return

    def _field(self) -> None:
        if self._accept("["):
            self._expression(0)
            self._expect("]")
            self._expect("=")
        elif self._at + 1 < len(self._tokens) and self._tokens[self._at + 1] == Token(Kind.SYMBOL, "="):
            self._name()
            self._at += 1
        self._expression(0)


def _unexpected(token: Token) -> TemplateFault:
    return TemplateFault(f"unexpected symbol near '{token.spelling}'")

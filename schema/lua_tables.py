"""Reading the value that a Lua file returns, where the file does no more than write tables down.

Nothing is run. Understood are literals, tables, local variables, concatenation, `require`, and calls that extend a named type by a
table (`typedefs.url { required = true }`). Functions and all other calculations are read over: what they would give is
`UNKNOWN`. What cannot be read so is `NotDeclarative`.

Source: the Lua 5.1 reference manual, sections 2.1 to 2.5.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_DEEPEST: Final = 64
_MOST_TOKENS: Final = 50_000
_MOST_VALUES: Final = 10_000
_LONGEST: Final = 65_536
_LONGEST_NUMBER: Final = 32
_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|--\[(?P<c>=*)\[[\s\S]*?\](?P=c)\]|--(?!\[=*\[)[^\n]*)
    |(?P<long>\[(?P<l>=*)\[[\s\S]*?\](?P=l)\])
    |(?P<quoted>"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*')
    |(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^\#<>=(){}\[\];:,.])""",
    re.VERBOSE | re.ASCII,
)
_OPENS_LONG: Final = re.compile(r"\[=*\[")
_ESCAPE: Final = re.compile(r"\\([0-9]{1,3}|[\s\S])")
_CONSTANTS: Final = {"nil": None, "true": True, "false": False}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_OPERATORS: Final = frozenset({"..", "==", "~=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "and", "or"})
_BLOCKS: Final = frozenset({"function", "do", "if"})


class NotDeclarative(ValueError):
    """The text does more than write a table down, or is no Lua."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(f"line {line}: {what}")


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""What only running the text would tell."""

Table = dict[Any, Any]
"""A Lua table: items under 1, 2, …, members under their names."""


def items_of(table: object) -> list[Any]:
    """The items of a table, in order; of anything else none."""
    found: list[Any] = []
    members: Table = table if isinstance(table, dict) else {}
    while len(found) + 1 in members:
        found.append(members[len(found) + 1])
    return found


def read(text: str, modules: Mapping[str, Mapping[str, Table]]) -> Any:
    """What the file returns. `modules`: for `require`, the named types of a module.

    Raises: NotDeclarative.
    """
    value = _Reader(text, modules).chunk()
    waiting = [(value, 0)]  # variables make much, and deep, of a short text
    for count, (part, depth) in enumerate(waiting):
        if count > _MOST_VALUES or depth > _DEEPEST:
            raise NotDeclarative("the tables are too large", 1)
        if isinstance(part, dict):
            waiting += [(member, depth + 1) for member in part.values()]
    return value


class _Reader:
    def __init__(self, text: str, modules: Mapping[str, Mapping[str, Table]]) -> None:
        self._tokens = list(_tokens(text))
        self._modules = modules
        self._variables: dict[str, Any] = {}
        self._at = 0
        self._depth = 0

    def chunk(self) -> Any:
        while True:
            kind, said, _ = self._next()
            match (kind, said):
                case ("word", "return"):
                    return self._expression()
                case ("word", "local"):
                    self._local()
                case ("word", "function"):
                    self._block()
                case ("sign", ";"):
                    pass
                case ("end", _):
                    raise self._wrong("nothing is returned")
                case _:
                    raise self._wrong(f"only variables and tables can be read, not '{said}'")

    def _local(self) -> None:
        if self._take("function"):
            self._variables[self._word()] = UNKNOWN
            self._block()
            return
        names = [self._word()]
        while self._take(","):
            names.append(self._word())
        values: list[Any] = []
        if self._take("="):
            values.append(self._expression())
            while self._take(","):
                values.append(self._expression())
        for index, name in enumerate(names):
            self._variables[name] = values[index] if index < len(values) else None

    def _expression(self) -> Any:
        value = self._operand()
        while self._peek() in _OPERATORS:
            operator = self._next()[1]
            other = self._operand()
            value = _joined(value, other) if operator == ".." else UNKNOWN
        return value

    def _operand(self) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("too deep")
        value = self._value()
        self._depth -= 1
        return value

    def _value(self) -> Any:
        kind, said, _ = self._next()
        if kind == "string":
            return said
        if kind == "number":
            return _number(said)
        if kind == "word":
            return _CONSTANTS[said] if said in _CONSTANTS else self._named(said)
        return self._signed(said)

    def _named(self, word: str) -> Any:
        if word == "function":
            self._block()
            return UNKNOWN
        if word == "not":
            self._operand()
            return UNKNOWN
        if word == "require":
            name = self._argument()
            return self._suffixed(self._modules.get(name, UNKNOWN) if isinstance(name, str) else UNKNOWN)
        return self._suffixed(self._variables.get(word, UNKNOWN))

    def _signed(self, sign: str) -> Any:
        if sign == "{":
            return self._table()
        if sign == "(":
            value = self._expression()
            self._expect(")")
            return self._suffixed(value)
        if sign in {"-", "#"}:
            value = self._operand()
            is_number = sign == "-" and isinstance(value, int | float) and not isinstance(value, bool)
            return -value if is_number else UNKNOWN
        if sign == "...":
            return UNKNOWN
        raise self._wrong(f"unexpected '{sign}'" if sign else "the text ends too early")

    def _suffixed(self, value: Any) -> Any:
        while True:
            if self._take("."):
                name = self._word()
                value = value.get(name, UNKNOWN) if isinstance(value, Mapping) else UNKNOWN
            elif self._take("["):
                key = self._expression()
                self._expect("]")
                plain = isinstance(key, str | int | float)
                value = value.get(key) if isinstance(value, Mapping) and plain else UNKNOWN
            elif self._take(":"):
                self._word()
                self._argument()
                value = UNKNOWN
            elif self._peek() in {"(", "{"} or self._kind() == "string":
                more = self._argument()
                extends = isinstance(value, Mapping) and isinstance(more, dict)
                value = {**value, **more} if extends else UNKNOWN
            else:
                return value

    def _argument(self) -> Any:
        """What a call is given, if it is one thing."""
        if not self._take("("):
            return self._operand()
        found: list[Any] = []
        while not self._take(")"):
            found.append(self._expression())
            if not self._take(","):
                self._expect(")")
                break
        return found[0] if len(found) == 1 else UNKNOWN

    def _table(self) -> Table:
        found: Table = {}
        index = 1
        while not self._take("}"):
            if self._take("["):
                key = self._expression()
                self._expect("]")
                self._expect("=")
                value = self._expression()
                if isinstance(key, str | int | float):
                    found[key] = value
            elif self._kind() == "word" and self._peek(1) == "=":
                key = self._word()
                self._expect("=")
                found[key] = self._expression()
            else:
                found[index] = self._expression()
                index += 1
            if not (self._take(",") or self._take(";")):
                self._expect("}")
                break
        return {key: value for key, value in found.items() if value is not None}

    def _block(self) -> None:
        """Read over a function's body, whose `function` has been read."""
        depth = 1
        while depth:
            kind, said, _ = self._next()
            if kind == "end":
                raise self._wrong("the text ends too early")
            if kind == "word":
                depth += (said in _BLOCKS) - (said == "end")

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _peek(self, ahead: int = 0) -> str:
        place = min(self._at + ahead, len(self._tokens) - 1)
        kind, said, _ = self._tokens[place]
        return said if kind in {"word", "sign"} else ""

    def _next(self) -> tuple[str, str, int]:
        found = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return found

    def _take(self, said: str) -> bool:
        taken = self._peek() == said
        if taken:
            self._next()
        return taken

    def _expect(self, said: str) -> None:
        if not self._take(said):
            raise self._wrong(f"expected '{said}'")

    def _word(self) -> str:
        kind, said, _ = self._next()
        if kind != "word":
            raise self._wrong("expected a name")
        return said

    def _wrong(self, what: str) -> NotDeclarative:
        return NotDeclarative(what, self._tokens[max(self._at - 1, 0)][2])


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, what it says, line) of every token, with one of kind `end` behind the last. Raises NotDeclarative."""
    found: list[tuple[str, str, int]] = []
    at, line = 0, 1
    plain: Mapping[str, Callable[[str], str]] = {
        "number": str,
        "word": str,
        "sign": str,
        "quoted": _quoted,
        "long": _long,
    }
    while at < len(text):
        token = _TOKEN.match(text, at)
        unclosed = token is not None and token["sign"] == "[" and _OPENS_LONG.match(text, at)
        if token is None or unclosed or len(found) >= _MOST_TOKENS:
            raise NotDeclarative(f"unexpected '{text[at]}'", line)
        for kind, said in plain.items():
            if (raw := token[kind]) is not None:
                found.append(("string" if kind in {"quoted", "long"} else kind, said(raw), line))
        line += token[0].count("\n")
        at = token.end()
    return [*found, ("end", "", line)]


def _quoted(raw: str) -> str:
    def plain(escape: re.Match[str]) -> str:
        said = escape[1]
        return chr(int(said)) if said.isdecimal() else _ESCAPES.get(said, said)

    return _ESCAPE.sub(plain, raw[1:-1])


def _long(raw: str) -> str:
    edge = raw.index("[", 1) + 1
    return raw[edge:-edge].removeprefix("\n")


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str) and len(one) + len(other) <= _LONGEST:
        return one + other
    return UNKNOWN


def _number(said: str) -> Any:
    is_hex = said[:2] in {"0x", "0X"}
    if len(said) > _LONGEST_NUMBER:
        return UNKNOWN
    value = float(int(said, 16)) if is_hex else float(said)
    if abs(value) >= 2**53:
        return UNKNOWN  # integers from here on are not all different
    return int(value) if value.is_integer() else value

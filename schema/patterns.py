r"""Regular expressions of routes: whether gateways compile them, without compiling them.

Gateways match with Rust's `regex` crate, whose syntax is neither Python's nor PCRE's: `\Z`, look-around and back
references are unknown to it, character classes nest, a brace is always a quantifier. What it would refuse is refused
here, when the route is written, for a gateway refuses a configuration as a whole. Two of its flags are refused beyond
that (`x`, which hides parentheses in comments, and `-u`, which leaves valid UTF-8), and sizes are estimated from
above. The corpus `tests/corpus/route_regexes.json` is run against both.

Source: documentation of the `regex` crate, section Syntax.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schema import pattern_classes
from schema.pattern_classes import PatternFault, Piece, Scanner

MAX_COST: Final = (4 << 20) - (16 << 10)
"""Estimated bytes that a compiled pattern may take; gateways stop at 4 MiB."""
MAX_HEIGHT: Final = 240
"""Deepest nesting of groups, repetitions and classes; gateways stop at 250."""

_REPETITION_COST: Final = 80
_CAPTURE_COST: Final = 96
_BRANCH_COST: Final = 48
_COUNT: Final = re.compile(r"[ \t\n\r\f\v]*([0-9]*)[ \t\n\r\f\v]*")
_NEGATABLE: Final = frozenset("imsUuRx")
_TOO_LARGE: Final = "too large"


def regex_fault(pattern: str, *, ignore_case: bool = False) -> str | None:
    """Why gateways refuse a pattern, None if they compile it."""
    try:
        whole = _Parser(pattern, ignore_case=ignore_case).whole()
    except PatternFault as fault:
        return str(fault)
    if whole.height > MAX_HEIGHT:
        return f"exceed the maximum number of nested parentheses/brackets ({MAX_HEIGHT})"
    return _TOO_LARGE if whole.cost > MAX_COST else None


def together_fault(patterns: Iterable[str]) -> str | None:
    """Why gateways refuse several patterns at once, each of which they would compile."""
    if regex_fault("|".join(f"(?:{pattern})" for pattern in patterns)) is None:
        return None
    return "all regexes together are too large, or have groups of the same name"


@dataclass(slots=True)
class _Group:
    """An open group: the branches that are complete, and the pieces of the current one (None for mere flags)."""

    ignore_case: bool
    captures: bool = False
    branches: list[Piece] = field(default_factory=list[Piece])
    pieces: list[Piece | None] = field(default_factory=list["Piece | None"])

    def end_branch(self) -> None:
        pieces = [piece or Piece(0) for piece in self.pieces]
        deeper = len(pieces) > 1
        height = max((piece.height for piece in pieces), default=0) + deeper
        self.branches.append(Piece(sum(piece.cost for piece in pieces), height))
        self.pieces = []

    def closed(self) -> Piece:
        self.end_branch()
        several = len(self.branches) > 1
        height = max(branch.height for branch in self.branches) + several
        cost = sum(branch.cost + _BRANCH_COST * several for branch in self.branches)
        return Piece(cost + _CAPTURE_COST * self.captures, height)


class _Parser:
    """One pass over a pattern. Groups are kept on a list, so that nesting is bounded by a rule and not by a crash."""

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        self._scanner = Scanner(pattern)
        self._open: list[_Group] = [_Group(ignore_case)]
        self._names: set[str] = set()

    def whole(self) -> Piece:
        scanner = self._scanner
        while (char := scanner.peek()) is not None:
            group = self._open[-1]
            if char == "(":
                scanner.skip(1)
                self._begin_group(group)
            elif char == ")":
                scanner.skip(1)
                self._end_group()
            elif char == "|":
                scanner.skip(1)
                group.end_branch()
            elif char in "?*+":
                scanner.skip(1)
                self._repeat(group, 1)
            elif char == "{":
                scanner.skip(1)
                self._repeat(group, None)
            elif char == "[":
                group.pieces.append(pattern_classes.bracketed(scanner, ignore_case=group.ignore_case))
            else:
                group.pieces.append(pattern_classes.single(scanner, ignore_case=group.ignore_case))
        if len(self._open) > 1:
            raise PatternFault("unclosed group")
        return self._open[0].closed()

    def _begin_group(self, outer: _Group) -> None:
        scanner = self._scanner
        if any(scanner.accept(prefix) for prefix in ("?=", "?!", "?<=", "?<!")):
            raise PatternFault("look-around, including look-ahead and look-behind, is not supported")
        inner = _Group(outer.ignore_case)
        if scanner.accept("?P<") or scanner.accept("?<"):
            inner.captures = True
            self._name()
        elif scanner.accept("?"):
            given, ignore_case = self._flags()
            if scanner.take() == ")":
                if not given:
                    raise PatternFault("repetition operator missing expression")
                outer.ignore_case = outer.ignore_case if ignore_case is None else ignore_case
                outer.pieces.append(None)
                return
            inner.ignore_case = inner.ignore_case if ignore_case is None else ignore_case
        else:
            inner.captures = True
        self._open.append(inner)

    def _end_group(self) -> None:
        if len(self._open) == 1:
            raise PatternFault("unopened group")
        content = self._open.pop().closed()
        self._open[-1].pieces.append(Piece(content.cost, content.height + 1))

    def _name(self) -> None:
        name = ""
        while (char := self._scanner.take()) != ">":
            if char is None:
                raise PatternFault("unclosed capture group name")
            if not (char == "_" or char.isalpha() or (name and (char in ".[]" or char.isalnum()))):
                raise PatternFault("invalid capture group character")
            name += char
        if not name:
            raise PatternFault("empty capture group name")
        if name in self._names:
            raise PatternFault("duplicate capture group name")
        self._names.add(name)

    def _flags(self) -> tuple[str, bool | None]:
        """The flags up to `)` or `:`, and what they say about letter case."""
        scanner = self._scanner
        if scanner.peek() is None:
            raise PatternFault("unclosed group")
        given = ""
        ignore_case = None
        while (char := scanner.peek()) not in {")", ":"}:
            if char is None:
                raise PatternFault("expected flag but got end of regex")
            if char == "-" and "-" in given:
                raise PatternFault("flag negation operator repeated")
            if char != "-" and char not in _NEGATABLE:
                raise PatternFault("unrecognized flag")
            if char in given:
                raise PatternFault("duplicate flag")
            negated = "-" in given
            if (char == "x" and not negated) or (char == "u" and negated):
                raise PatternFault(f"flag '{'-' * negated}{char}' is not supported")
            if char == "i":
                ignore_case = not negated
            given += char
            scanner.skip(1)
        if given.endswith("-"):
            raise PatternFault("dangling flag negation operator")
        return given, ignore_case

    def _repeat(self, group: _Group, times: int | None) -> None:
        """Repeats the last piece; `times` is None where a brace tells."""
        piece = group.pieces.pop() if group.pieces else None
        if piece is None:
            raise PatternFault("repetition operator missing expression")
        if times is None:
            times = self._counts()
        self._scanner.accept("?")
        cost = (piece.cost + _REPETITION_COST) * max(times, 1)
        if cost > MAX_COST:
            raise PatternFault(_TOO_LARGE)
        group.pieces.append(Piece(cost, piece.height + 1))

    def _counts(self) -> int:
        """Reads `n}`, `n,}` or `n,m}`; the most copies that have to be compiled."""
        scanner = self._scanner
        empty = PatternFault("repetition quantifier expects a valid decimal")
        unclosed = PatternFault("unclosed counted repetition")
        low = scanner.match(_COUNT)[1]
        if scanner.peek() is None:
            raise unclosed
        high = low
        if scanner.accept(","):
            if scanner.peek() is None:
                raise unclosed
            if scanner.peek() == "}":
                high = None
            elif not low or not (high := scanner.match(_COUNT)[1]):
                raise empty
        if not low:
            raise empty
        if not scanner.accept("}"):
            raise unclosed
        if high is None:
            return int(low) + 1
        if int(high) < int(low):
            raise PatternFault("invalid repetition count range, the start must be <= the end")
        return int(high)

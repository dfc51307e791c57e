"""Regular expressions of routes: only those that run in linear time are taken."""

import re
import threading
import warnings
from typing import Final

# Where Python writes differently what PCRE and the engine's matcher have in common.
_SPELLINGS: Final = (
    (re.compile(r"\(\?<(?![=!])"), "(?P<"),  # named groups
    (re.compile(r"\(\?[imsx]+\)"), ""),  # flags from here on: no matter for validity
    (re.compile(r"\\[pP](\{[^{}]*\}|[A-Za-z])"), "."),  # Unicode classes
    (re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}"), "."),
    (re.compile(r"\\z"), r"\\Z"),
)
_FORBIDDEN_GROUPS: Final = {
    "(?=": "look-ahead",
    "(?!": "look-ahead",
    "(?<=": "look-behind",
    "(?<!": "look-behind",
    "(?>": "atomic group",
    "(?(": "conditional group",
    "(?P=": "back reference",
}
_COMPILING: Final = threading.Lock()  # the list of warning filters belongs to the whole process
_BACK_REFERENCES: Final = frozenset("123456789kg")
# an escape, a whole character class (where none of this has a meaning), or the start of a special group
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:<=|<!|=|!|>|\(|P=)", re.DOTALL)


def regex_fault(pattern: str) -> str | None:
    """Why a pattern is refused, None if it is fine.

    Look-around, atomic groups and back references need backtracking, which lets one client burn a whole core; the
    engine's matcher has none of them, so they are refused when the route is written.
    """
    unsupported = _backtracking(pattern)
    if unsupported is not None:
        return f"{unsupported} is not supported"
    translated = pattern
    for spelling, replacement in _SPELLINGS:
        translated = spelling.sub(replacement, translated)
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _backtracking(pattern: str) -> str | None:
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text in _FORBIDDEN_GROUPS:
            return _FORBIDDEN_GROUPS[text]
        if text[0] == "\\" and text[1:] in _BACK_REFERENCES:
            return "back reference"
    return None

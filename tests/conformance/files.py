"""Finding and reading case files: YAML by the 1.2 core rules, no key twice, several cases per file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from tests.conformance.case import Case, CaseError, Document, parse_case, parse_lent
from tests.conformance.table import unfold

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's core scalars, so `on`, `12:30:00` and `2020-01-01` stay text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Checked before merges are resolved: overriding a merged key is what merges are for.
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            identity = (key.tag, key.value)
            if identity in seen:
                message = f"key given twice: {key.value}"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            seen.add(identity)
        return super().construct_mapping(node, deep=deep)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0x", "0o")) else int(text)


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("merge", r"^<<$", ["<"]),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


@dataclass(frozen=True, slots=True)
class CaseSource:
    """One case as its file gives it.

    `document` has what the file lends filled in and its placeholders still in place; `case` is its checked
    form, or `problem` says why there is none.
    """

    file: str
    name: str
    document: Document
    case: Case | None
    problem: str = ""


def read_yaml(text: str) -> object:
    """Parse one YAML document.

    Raises: CaseError: not YAML, or a map names a key twice.
    """
    try:
        return cast("object", yaml.load(text, Loader=_CoreLoader))
    except yaml.YAMLError as error:
        raise CaseError(" ".join(str(error).split())) from None


def find_files(place: Path) -> list[Path]:
    """All case files below a directory in stable order; a file stands for itself."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())


def load_file(path: Path, shown: str) -> list[CaseSource]:
    """The cases of one file; whatever is wrong with it becomes a case with a `problem`, never an exception."""
    try:
        return list(_cases(shown, read_yaml(path.read_text(encoding="utf-8"))))
    except (CaseError, OSError, UnicodeDecodeError) as error:
        return [CaseSource(shown, "(file)", {}, None, str(error))]


def load_tree(place: Path) -> list[CaseSource]:
    """Every case below `place`, files named relative to the working directory where that is shorter."""
    here = Path.cwd()
    cases: list[CaseSource] = []
    for path in find_files(place):
        absolute = path.resolve()
        shown = str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)
        cases += load_file(path, shown)
    return cases


def _cases(shown: str, whole: object) -> Iterator[CaseSource]:
    if not isinstance(whole, dict):
        raise CaseError("a case file is a map")
    document = cast("Document", whole)
    if "cases" not in document:
        yield from _rows(shown, 1, document)
        return
    lent = parse_lent(document)
    inherited = {
        key: document[key]
        for key in ("config", "dns", "tenants", "options", "source", "certificates")
        if key in document
    }
    for number, own in enumerate(lent.cases, start=1):
        merged = inherited | own
        for tags in ("features", "requires"):
            if document.get(tags) and isinstance(own.get(tags, []), list):
                merged[tags] = [*document[tags], *own.get(tags, [])]
        yield from _rows(shown, number, merged)


def _rows(shown: str, number: int, document: Document) -> Iterator[CaseSource]:
    try:
        for row in unfold(document):
            yield _checked(shown, number, row)
    except CaseError as error:
        yield CaseSource(shown, str(document.get("description", f"case {number}")), document, None, str(error))


def _checked(shown: str, number: int, document: Document) -> CaseSource:
    description = document.get("description")
    name = description if isinstance(description, str) and description else f"case {number}"
    try:
        return CaseSource(shown, name, document, parse_case(document))
    except CaseError as error:
        return CaseSource(shown, name, document, None, str(error))

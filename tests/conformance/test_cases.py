"""Every case file of this tree as a pytest item."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conformance.files import CaseSource, find_files, load_file
from tests.conformance.run import DEFAULT_CASES, Settings, describe, play_all

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.conformance

FILES = find_files(DEFAULT_CASES)


def shown(path: Path) -> str:
    return str(path.relative_to(DEFAULT_CASES))


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_cases(path: Path) -> None:
    outcomes = asyncio.run(play_all(load_file(path, shown(path)), Settings()))

    failed = [describe(outcome) for outcome in outcomes if outcome.result != "passed"]
    assert not failed, "\n".join(failed)


def test_every_case_says_what_it_shows_and_where_that_is_written() -> None:
    sources: list[CaseSource] = [source for path in FILES for source in load_file(path, shown(path))]

    silent = [
        f"{source.file}: {source.name}"
        for source in sources
        if source.case is not None and not (source.case.description and source.case.source)
    ]
    assert not silent


def test_descriptions_are_unique_within_a_file() -> None:
    for path in FILES:
        names = [source.name for source in load_file(path, shown(path))]
        assert len(names) == len(set(names)), path

"""The guides of docs/guides, command by command, with forms and with JSON."""

from pathlib import Path

import pytest

from tests.e2e.guides import GUIDES, commands, play, promised
from tests.support.stack import Stack

NAMES = sorted(path.stem for path in GUIDES.glob("*.md") if path.stem != "README")


@pytest.mark.parametrize("variant", ["form", "json"])
@pytest.mark.parametrize("name", NAMES)
def test_a_guide_does_what_it_says(stack: Stack, tmp_path: Path, name: str, variant: str) -> None:
    script = commands(GUIDES / f"{name}.md", variant)
    assert play(script, stack, tmp_path) == promised(script)


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_promises_a_status_for_each_request_that_it_shows(name: str) -> None:
    for variant in ("form", "json"):
        script = commands(GUIDES / f"{name}.md", variant)
        assert script.count("\ncurl -i ") == len(promised(script)) > 0
    assert f"({name}.md)" in (GUIDES / "README.md").read_text()

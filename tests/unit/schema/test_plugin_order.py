"""The order of plugins is the published one, and the same in declarations and engine (see the engine's tests/corpus.rs)."""

import json
from pathlib import Path

from schema.registry import registry

CORPUS = Path(__file__).parents[2] / "corpus" / "plugin_priorities.json"


def test_declarations_have_the_published_priorities() -> None:
    """Those of plugins that gateways run; of all of them, see test_published_plugins.py."""
    expected = dict(json.loads(CORPUS.read_text())["order"])
    run = {name: declared.spec for name, declared in registry().plugins.items() if declared.spec.since is not None}
    assert {name: spec.priority for name, spec in run.items()} == expected

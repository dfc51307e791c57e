"""The engine does not know its clients."""

import re
from pathlib import Path

import core.crud
from schema.registry import registry

ENGINE = Path(core.crud.__file__).parent
FILES = sorted(ENGINE.glob("*.py"))
# Names that are also words of everyday use; as a name they would be quoted.
ORDINARY = {"key", "keys", "Key"}


def test_no_registry_name_occurs_in_the_engine():
    names = {name for entity in registry().entities.values() for name in (entity.spec.plural, entity.spec.singular)}
    names |= {entity.spec.title for entity in registry().entities.values()} | set(registry().plugins)
    names.remove("session")  # a plugin, and what every function here works in
    quoted = "|".join(rf"\"{name}\"" for name in sorted(ORDINARY & names))
    words = re.compile(rf"(?<![A-Za-z])({'|'.join(sorted(names - ORDINARY))})(?![A-Za-z])|{quoted}")
    assert FILES
    assert {file.name: words.findall(file.read_text()) for file in FILES if words.search(file.read_text())} == {}


def test_every_hook_belongs_to_an_entity():
    singulars = {entity.spec.singular.replace("-", "_") for entity in registry().entities.values()}
    assert {file.stem for file in (ENGINE / "hooks").glob("*.py")} - {"__init__"} <= singulars

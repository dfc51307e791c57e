"""Just enough of the Dockerfile language to check ours: instructions per stage."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One build stage: its name, what it starts from, and its instructions as (name, rest) pairs."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction, in order."""
        return [rest for name, rest in self.instructions if name == instruction]

    def copied(self) -> list[tuple[list[str], str]]:
        """Sources in the build context and destination of each COPY that does not copy from another stage."""
        found: list[tuple[list[str], str]] = []
        for rest in self.all("COPY"):
            words = shlex.split(rest)
            if not any(word.startswith("--from") for word in words):
                paths = [word for word in words if not word.startswith("--")]
                found.append((paths[:-1], paths[-1]))
        return found


def parse(path: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order. Every stage of ours has a name."""
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in _logical_lines(path.read_text()):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(name, base)
            continue
        assert current is not None, "an instruction before the first FROM"
        current.instructions.append((instruction, rest.strip()))
    return stages


def _logical_lines(text: str) -> list[str]:
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(kept).replace("\\\n", " ").splitlines()

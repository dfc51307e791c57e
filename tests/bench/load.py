"""The load generator and the backend (engine/bench): built, run, and read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.processes import OTHER_CORE, BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 30


def build_tools() -> Path:
    """Build load generator and backend; the program's path."""
    cargo = shutil.which(os.environ.get("CARGO", "cargo"))
    if cargo is None:
        raise BenchError("cargo (the Rust toolchain) is needed to build the load generator")
    command = [cargo, "build", "--quiet", "--release", "--package", "sluice-engine-bench"]
    if subprocess.run([*command, "--manifest-path", str(ROOT / "engine" / "Cargo.toml")], check=False).returncode != 0:
        raise BenchError("the load generator does not build")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "engine" / "target")
    return target / "release" / "bench"


class Load:
    """A load generator at work."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._patience = seconds + _PATIENCE_SECONDS
        pinned = ["taskset", "-c", str(OTHER_CORE), *command]
        self._process = subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self) -> dict[str, Any]:
        """What it reports when it is done.

        Raises: BenchError: nobody answered it.
        """
        try:
            said, complaint = self._process.communicate(timeout=self._patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, complaint = self._process.communicate()
        if self._process.returncode != 0:
            message = f"load generator: {complaint.strip() or said.strip()}"
            raise BenchError(message)
        answer: dict[str, Any] = json.loads(said)
        return answer


def run_load(command: Sequence[str], seconds: float) -> dict[str, Any]:
    """One measurement with one generator.

    Raises: BenchError: nobody answered it.
    """
    return Load(command, seconds).result()

"""Guides as scripts: the very commands that users copy, with the statuses that the guide promises."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.gateways import port_of

if TYPE_CHECKING:
    from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"

_BLOCK = re.compile(r"^```sh(?: (\w+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CHECKED = re.compile(r"^curl -i (.*?)  # (\d{3})$", re.DOTALL | re.MULTILINE)
# A change takes a moment to be live, so what is asked of the gateway is asked again; what is asked of the API is not.
_HEAD = r"""
set -eu
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
status() { curl -sS -o answer -w '%{http_code}' "$@"; }
wants() {
  wanted=$1; shift
  for _ in $(seq 300); do
    got=$(status "$@")
    case "$got $*" in
      "$wanted "*) echo "status $got"; return ;;
      *"://$HOST:"*) sleep 0.1 ;;
      *) break ;;
    esac
  done
  echo "status $got and not $wanted: $*" >&2; cat answer >&2; exit 1
}
HOST=none
"""


def commands(guide: Path, variant: str) -> str:
    """All commands of a guide in one variant: blocks for both, and those for this one."""
    text = guide.read_text(encoding="utf-8")
    return "\n".join(block for kind, block in _BLOCK.findall(text) if kind in {"", variant})


def promised(script: str) -> list[str]:
    """The statuses that commands promise."""
    return [status for _, status in _CHECKED.findall(script)]


def play(script: str, stack: Stack, place: Path) -> list[str]:
    """Run the commands against a running installation; the statuses that came.

    Raises: AssertionError: a command failed, or an answer had another status than promised.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for old, new in {
        ".venv/bin/sluice": f"'{sys.executable}' -m cli",
        ".sluice/": f"{stack.state.root}/",
        "9999": str(port),
        ":8000": f":{port_of(stack, 'us')}",
        ":8010": f":{port_of(stack, 'us') + 10}",
        ":8443": f":{port_of(stack, 'us') + 443}",
    }.items():
        script = script.replace(old, new)
    file = place / "guide.sh"
    file.write_text(_HEAD + f"cd '{place}'\n" + _CHECKED.sub(r"wants \2 \1", script))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["bash", str(file)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"^status (\d+)$", done.stdout, re.MULTILINE)

"""`python -m cli`: the same as the `sluice` entry point, for processes that start each other."""

from __future__ import annotations

from cli.main import run

if __name__ == "__main__":
    run()

"""Files that are generated and checked in: printed, written, or compared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cli.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path


def emit(document: str, output: Path | None, *, check: bool) -> None:
    """Print the document, or write it to `output`; with `check`, only compare.

    Raises: Fault: the file differs or cannot be written.
    """
    if output is None:
        sys.stdout.write(document)
        return
    if check:
        if not output.exists() or output.read_text() != document:
            raise Fault(f"{output} is not up to date: run `make gen`")
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(document)
    except OSError as error:
        raise Fault(f"cannot write {output}: {error.strerror}") from error

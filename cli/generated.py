"""Files that are generated and checked in: printed, written, or compared."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.faults import Fault


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


def emit_all(documents: dict[str, str], folder: Path, *, check: bool) -> None:
    """Write documents into a folder, and remove others of their kind; with `check`, only compare.

    Raises: Fault: a file differs, is left over, or cannot be written.
    """
    kinds = {Path(name).suffix for name in documents}
    others = [path for path in sorted(folder.glob("*")) if path.suffix in kinds and path.name not in documents]
    for path in others:
        if check:
            raise Fault(f"{path} is left over: run `make gen`")
        path.unlink()
    for name, document in documents.items():
        emit(document, folder / name, check=check)

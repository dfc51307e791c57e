"""The state directory: where things are, who may use it, and which version wrote it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Generator

# Raised by one whenever an older Sluice could no longer read what this one writes.
FORMAT = 1


@dataclass(frozen=True)
class StateDir:
    """Paths below one state directory (`.sluice`, or SLUICE_STATE_DIR); `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> StateDir:
        return cls(Path(os.path.abspath(path.expanduser())))  # noqa: PTH100  # resolve() would follow a symlinked checkout

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def services(self) -> Path:
        """Process records of the running `sluice up`, one file per child."""
        return self.run / "services"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def env_file(self) -> Path:
        return self.root / "env"

    @property
    def ca_file(self) -> Path:
        return self.root / "ca.pem"

    @property
    def version_file(self) -> Path:
        return self.root / "version.json"

    def refuse_newer(self, version: str) -> None:
        """Check that this Sluice may use the directory.

        Raises: Fault: a newer Sluice wrote it, or its version file is unreadable.
        """
        try:
            written = json.loads(self.version_file.read_text())
            found_format, found_version = int(written["format"]), str(written["version"])
            newer = found_format > FORMAT or _version_key(found_version) > _version_key(version)
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Fault(f"{self.version_file} is not readable as a version file ({type(error).__name__})") from error
        if newer:
            raise Fault(
                f"state directory {self.root} was written by Sluice {found_version} (format {found_format}), "
                f"newer than this {version} (format {FORMAT}): upgrade Sluice or set SLUICE_STATE_DIR"
            )

    def prepare(self, version: str) -> None:
        """Make the directories and stamp the version; safe to repeat.

        Raises: Fault: newer than us, or not writable.
        """
        self.refuse_newer(version)
        try:
            for path in (self.root, self.data, self.logs, self.run, self.services, self.secrets):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self.version_file, json.dumps({"format": FORMAT, "version": version}) + "\n")
        except OSError as error:
            raise Fault(f"cannot use state directory {self.root}: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the directory for one `sluice up`; the kernel lets go when the process dies, however it dies.

        Raises: Fault: another one holds it, or it is not writable.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)  # a mode is for the last directory only
            self.run.mkdir(exist_ok=True, mode=0o700)
            lock = (self.run / "up.lock").open("a+")
        except OSError as error:
            raise Fault(f"cannot use state directory {self.root}: {error.strerror}") from error
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise Fault(f"another `sluice up` (process {holder}) already runs on {self.root}") from error
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def socket_dir(self) -> Path:
        """Where the embedded servers put their Unix sockets.

        Below the state directory when that path is short and plain; a socket address holds some 100 bytes, and a
        path that needs escaping means something else to each client library. Otherwise a private directory
        below the temporary one, the same on every start.
        """
        inside = self.run / "sockets"
        if len(str(inside)) <= 70 and re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)):
            return inside
        digest = _path_digest(self.root)
        return Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}-{digest}"


def private_dir(path: Path, *, traversable: bool = False) -> None:
    """Make `path` ours alone; `traversable` lets other users pass through, not look.

    Raises: Fault: the path exists and belongs to someone else, or is a link.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.getuid():
        raise Fault(f"{path} belongs to someone else: remove it or set another TMPDIR")
    path.chmod(0o711 if traversable else 0o700)


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file at once, readable by its owner only; on disk when this returns, for no data outlives its key."""
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_directory(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _path_digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]

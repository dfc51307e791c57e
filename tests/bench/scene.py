"""A runtime with many tenants under measurement, the backends behind it, and the bars that the figures are held to."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.bench.load import ROOT, Load
from tests.bench.processes import OTHER_CORE, PROXY_CORE, Driven, Pinned, free_ports
from tests.bench.report import table
from tests.bench.tenants import HOSTS, PATH, SECRET, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and the most that it may be."""

    name: str
    value: float
    most: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.most

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"met": self.met}


def print_bars(bars: Sequence[Bar]) -> None:
    """A table for people."""
    rows = [
        [bar.name, f"{bar.value:,.2f} {bar.unit}", f"{bar.most:,.2f} {bar.unit}", "met" if bar.met else "MISSED"]
        for bar in bars
    ]
    print(table(["bar", "measured", "at most", ""], rows))


class Scene:
    """One runtime on core 0; backends and load on core 1. A context manager that ends all of it."""

    def __init__(self, tool: Path, threads: int = 1, *, sheds: bool = False) -> None:
        self._tool = tool
        self._threads = threads
        self._sheds = sheds
        self._stack = contextlib.ExitStack()
        self._place = Path()
        self.port, self.tls_port = free_ports(2)
        self.runtime: Driven

    def __enter__(self) -> Self:
        self._place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        command = [sys.executable, "-m", "tests.bench.runtime", str(self._place / "state")]
        command += [str(self.port), str(self.tls_port), str(self._threads), str(self._sheds).lower()]
        (self._place / "state").mkdir()
        self.runtime = Driven("the runtime", PROXY_CORE, command, self._place / "runtime.log", ROOT)
        self._stack.enter_context(self.runtime).wait_for_port(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def backend(self, *, close: bool = False) -> int:
        """A backend that insists on the tenants' secret and, if wanted, ends each connection with its first answer; its port."""
        (port,) = free_ports(1)
        self.backend_at(port, self._stack, close=close)
        return port

    def backend_at(self, port: int, owner: contextlib.ExitStack, *, close: bool = False) -> None:
        """The same at a port of the caller's, until `owner` is closed."""
        command = [str(self._tool), "backend", "--listen", f"127.0.0.1:{port}", "--expect-secret", SECRET]
        command += ["--close", str(close).lower()]
        backend = Pinned("backend", OTHER_CORE, command, self._place / f"backend-{port}.log")
        owner.enter_context(backend).wait_for_port(port)

    def assign(self, first: int, count: int, shape: Shape) -> float:
        """More tenants; the seconds until all of them were live."""
        seconds: float = self.runtime.do("assign", first=first, count=count, shape=shape.document())["seconds"]
        return seconds

    def load(self, seconds: float, *, first: int, hosts: int, **options: int) -> Load:
        """Begin to ask tenants in turn; options are the generator's, `tls` (0 or 1) among them."""
        tls = bool(options.pop("tls", 0))
        address = f"127.0.0.1:{self.tls_port if tls else self.port}"
        command = [str(self._tool), "load", "--address", address, "--host", HOSTS, "--path", PATH]
        command += ["--first", str(first), "--hosts", str(hosts), "--tls", str(tls).lower(), "--seconds", str(seconds)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        return Load(command, seconds)

    def streams(self, seconds: float, number: int) -> Load:
        """Begin to ask one tenant over HTTP/2, in a closed loop of few streams."""
        command = [str(self._tool), "streams", "--address", f"127.0.0.1:{self.port}", "--host", HOSTS.format(number)]
        command += ["--path", PATH, "--connections", "2", "--streams", "4", "--seconds", str(seconds)]
        return Load(command, seconds)

    def ask(self, seconds: float, *, first: int, hosts: int, **options: int) -> dict[str, Any]:
        """Ask tenants in turn, and wait for the report."""
        return self.load(seconds, first=first, hosts=hosts, **options).result()

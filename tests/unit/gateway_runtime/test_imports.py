"""The runtime is deployed without the control plane: none of it may be needed to import it."""

import subprocess
import sys

FORBIDDEN = (
    "core",
    "api",
    "workers",
    "cli",
    "migrations",
    "sqlalchemy",
    "psycopg",
    "celery",
    "kombu",
    "fastapi",
    "uvicorn",
)

PROGRAM = f"""
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FORBIDDEN!r}:
            raise ImportError("the runtime must not import " + name)
        return None

sys.meta_path.insert(0, Refuse())
import gateway_runtime
for module in pkgutil.walk_packages(gateway_runtime.__path__, "gateway_runtime."):
    importlib.import_module(module.name)
"""


def test_imports_nothing_of_the_control_plane() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

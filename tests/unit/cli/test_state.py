"""The state directory: versions, the lock, private files, where sockets go."""

import json
import stat
from pathlib import Path

import pytest

from cli.faults import Fault
from cli.up.state import FORMAT, StateDir, private_dir, write_private


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.at(tmp_path / "state")


def test_a_prepared_directory_is_private_and_stamped(state: StateDir) -> None:
    state.prepare("0.1.0")
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert json.loads(state.version_file.read_text()) == {"format": FORMAT, "version": "0.1.0"}
    assert all(path.is_dir() for path in (state.data, state.logs, state.services, state.secrets))


def test_preparing_again_keeps_what_is_there(state: StateDir) -> None:
    state.prepare("0.1.0")
    (state.data / "precious").write_text("x")
    state.prepare("0.2.0")
    assert (state.data / "precious").read_text() == "x"
    assert json.loads(state.version_file.read_text())["version"] == "0.2.0"


@pytest.mark.parametrize(
    "written", [{"format": FORMAT + 1, "version": "0.1.0"}, {"format": FORMAT, "version": "0.10.0"}]
)
def test_a_newer_version_is_refused_and_nothing_changes(state: StateDir, written: dict[str, object]) -> None:
    state.prepare("0.1.0")
    state.version_file.write_text(json.dumps(written))
    with pytest.raises(Fault, match=r"newer than this 0\.9\.1") as caught:
        state.prepare("0.9.1")
    assert "\n" not in str(caught.value)
    assert json.loads(state.version_file.read_text()) == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x", "version": "1"}'])
def test_an_unreadable_version_file_is_refused(state: StateDir, text: str) -> None:
    state.prepare("0.1.0")
    state.version_file.write_text(text)
    with pytest.raises(Fault, match=r"version\.json is not readable as a version file"):
        state.refuse_newer("0.1.0")


def test_only_one_holds_the_directory(state: StateDir) -> None:
    with (
        state.locked(),
        pytest.raises(Fault, match=r"another `sluice up` \(process \d+\) already runs on"),
        state.locked(),
    ):
        pass
    with state.locked():
        pass


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="cannot use state directory"):
        StateDir.at(tmp_path / "file" / "state").prepare("0.1.0")


def test_sockets_stay_inside_where_the_path_is_short_and_plain() -> None:
    assert StateDir(Path("/srv/sluice/.sluice")).socket_dir() == Path("/srv/sluice/.sluice/run/sockets")


@pytest.mark.parametrize("root", ["/srv/my checkout/.sluice", "/srv/" + "long/" * 20 + ".sluice", "/srv/ünder/.sluice"])
def test_sockets_go_elsewhere_where_it_is_not(root: str) -> None:
    state = StateDir(Path(root))
    found = state.socket_dir()
    assert found == StateDir(Path(root)).socket_dir()
    assert found != StateDir(Path(root + "2")).socket_dir()
    assert len(str(found)) < 70
    assert " " not in str(found)


def test_a_private_file_replaces_the_old_one_at_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["secret"]


def test_a_linked_directory_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Fault, match="belongs to someone else"):
        private_dir(tmp_path / "link")

"""Log files are bounded while their writers go on."""

import os
from pathlib import Path

from cli.up import logs


def test_a_full_file_is_moved_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    descriptor = logs.open_log(tmp_path, "api")
    try:
        os.write(descriptor, b"a" * 100)
        logs.rotate(tmp_path, max_bytes=50)
        os.write(descriptor, b"b")
    finally:
        os.close(descriptor)
    assert (tmp_path / "api.log").read_bytes() == b"b"
    assert (tmp_path / "api.log.1").read_bytes() == b"a" * 100


def test_a_small_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text("x")
    logs.rotate(tmp_path, max_bytes=50)
    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]


def test_the_last_line_says_why(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text("one\ntwo\n\n")
    assert logs.last_line(tmp_path, "api") == "two"
    assert logs.last_line(tmp_path, "worker") == "no log"

"""Logs: JSON lines, context, no secrets."""

import io
import json
import logging as stdlib
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from core import logging
from core.iam import tokens


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = stdlib.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logging.configure("info", stream)
    yield stream
    logging.clear()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    logging.configure("warning")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_with_fields_and_context(stream: io.StringIO) -> None:
    logging.bind(request_id="r1", org_id="o1")
    structlog.get_logger("core.test").info("snapshot.applied", generation=7)

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "snapshot.applied",
        "generation": 7,
        "level": "info",
        "logger": "core.test",
        "request_id": "r1",
        "org_id": "o1",
    }


def test_context_can_be_cleared(stream: io.StringIO) -> None:
    logging.bind(task_id="t1")
    logging.clear()
    structlog.get_logger("core.test").info("x")

    assert "task_id" not in lines(stream)[0]


def test_standard_library_takes_the_same_way(stream: io.StringIO) -> None:
    stdlib.getLogger("somebody.else").warning("hello %s", "world")

    (line,) = lines(stream)
    assert line["event"] == "hello world"
    assert line["level"] == "warning"
    assert line["logger"] == "somebody.else"


def test_level(stream: io.StringIO) -> None:
    structlog.get_logger("core.test").debug("quiet")

    assert lines(stream) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "hunter2"),
        ("authorization", "hunter2"),
        ("client_secret", "hunter2"),
        ("access_token", "hunter2"),
        ("cookie", "hunter2"),
        ("api_key", "hunter2"),
        ("detail", SecretStr("hunter2")),
        ("detail", {"nested": {"password": "hunter2"}}),
        ("detail", [{"key": "hunter2"}]),
        ("detail", "sent Authorization: Bearer hunter2"),
        ("url", "postgresql://sluice:hunter2@db/sluice"),
    ],
)
def test_secrets_are_masked(stream: io.StringIO, name: str, value: Any) -> None:
    structlog.get_logger("core.test").info("x", **{name: value})

    assert "hunter2" not in stream.getvalue()
    assert logging.MASK in stream.getvalue()


def test_our_tokens_are_masked_anywhere(stream: io.StringIO) -> None:
    token = tokens.mint()
    try:
        int(token)
    except ValueError:
        structlog.get_logger("core.test").exception(f"failed with {token}", path=f"/x/{token}/y")
    stdlib.getLogger("somebody.else").error("sent %s", token)

    assert token not in stream.getvalue()
    assert "kpat_***" in stream.getvalue()
    assert "ValueError" in stream.getvalue()

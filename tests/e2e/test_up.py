"""`sluice up`: what a user of `make up` sees."""

import json
import os
import shlex
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cli.up.state import FORMAT
from tests.support.stack import Stack, free_port_offset

REGIONS = ("us", "eu")
EVERYTHING = {
    *("api", "worker", "beat", "postgres", "valkey-broker", "valkey-counters"),
    *(f"{role}-{region}" for role in ("watchdog", "gateway") for region in REGIONS),
}
KEYS = {
    *("SLUICE_API", "SLUICE_PAT", "SLUICE_ORG_ID", "SLUICE_ADMIN_EMAIL", "SLUICE_ADMIN_PASSWORD"),
    *("SLUICE_CONSOLE", "SLUICE_GATEWAY_US", "SLUICE_GATEWAY_EU"),
}


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """An installation of the test's own, in a path with blanks."""
    folder = Path(tempfile.mkdtemp(prefix="sluice e2e "))
    stack = Stack(folder / "my state")
    yield stack
    stack.clean_up()
    shutil.rmtree(stack.state.socket_dir(), ignore_errors=True)
    shutil.rmtree(folder)


def refused(stack: Stack) -> str:
    """What a start that is refused says, after checking that it says it in one line and fails."""
    process = stack.launch()
    assert process.wait(30) != 0
    stack.stop()
    lines = [line for line in stack.output if line.startswith("sluice: ")]
    assert len(lines) == 1, stack.output
    assert stack.output[-1] == lines[0]
    assert stack.processes() == {}
    return lines[0]


def me(stack: Stack) -> httpx.Response:
    with stack.api() as client:
        return client.get("/v3/users/me")


def test_a_life_from_the_first_start_to_the_second(own_stack: Stack) -> None:
    stack = own_stack.start()
    text = "".join(stack.output)
    env = stack.env
    assert set(env) == KEYS
    assert stat.S_IMODE(stack.state.env_file.stat().st_mode) == 0o600
    for key in KEYS - {"SLUICE_ORG_ID", "SLUICE_GATEWAY_US", "SLUICE_GATEWAY_EU"}:
        assert env[key] in text
    assert set(stack.processes()) == EVERYTHING
    assert me(stack).json()["email"] == env["SLUICE_ADMIN_EMAIL"]
    with stack.api() as client:
        created = client.post("/v2/control-planes", json={"name": "kept"})
        assert created.status_code == 201

    assert stack.stop() == 0
    assert stack.survivors() == []
    assert stack.output[-1] == "stopped\n"

    stack.start()
    assert stack.env == env
    assert env["SLUICE_ADMIN_PASSWORD"] not in "".join(stack.output)
    assert me(stack).status_code == 200
    with stack.api() as client:
        assert client.get(f"/v2/control-planes/{created.json()['id']}").json()["name"] == "kept"
    assert stack.stop(signal.SIGTERM) == 0
    assert stack.survivors() == []
    assert not stack.state.socket_dir().exists()


def test_a_lost_env_file_is_written_anew(own_stack: Stack) -> None:
    stack = own_stack.start()
    old = stack.env
    stack.stop()
    stack.state.env_file.unlink()
    stack.start()
    assert set(stack.env) == KEYS
    assert stack.env["SLUICE_ORG_ID"] == old["SLUICE_ORG_ID"]
    assert stack.env["SLUICE_PAT"] != old["SLUICE_PAT"]
    assert me(stack).status_code == 200
    assert (
        httpx.get(
            f"{old['SLUICE_API']}/v3/users/me", headers={"Authorization": f"Bearer {old['SLUICE_PAT']}"}
        ).status_code
        == 401
    )


def test_a_killed_supervisor_is_cleaned_up_after(own_stack: Stack) -> None:
    stack = own_stack.start()
    before = stack.processes()
    os.kill(stack.pid, signal.SIGKILL)
    stack.stop()
    assert set(stack.processes()) == EVERYTHING, "killed without a chance to end anything"
    stack.start()
    assert "ended what a killed `sluice up` left running" in "".join(stack.output)
    after = stack.processes()
    assert set(after) == EVERYTHING
    assert not set(before.values()) & set(after.values())
    assert me(stack).status_code == 200
    stack.stop()
    assert stack.survivors() == []


def test_a_first_start_may_be_killed_at_any_moment(own_stack: Stack) -> None:
    """Each start is killed a step further than the one before it; the last one has to make do with what they left."""
    moments: list[Callable[[], bool]] = [
        lambda: any(own_stack.state.secrets.glob("node-ca.key")),
        lambda: any(own_stack.state.data.glob("postgres.unfinished*")),
        lambda: "postgres" in own_stack.processes(),
        lambda: "migrate" in own_stack.processes(),
        lambda: "bootstrap" in own_stack.processes(),
        lambda: any(own_stack.state.logs.glob("gateway-us.log")),
    ]
    for moment in moments:
        process = own_stack.launch()
        deadline = time.monotonic() + 60
        while not moment() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert process.poll() is None, own_stack.output
        process.kill()
        own_stack.stop()

    own_stack.start()

    assert set(own_stack.processes()) == EVERYTHING
    assert me(own_stack).status_code == 200
    own_stack.stop()
    assert own_stack.survivors() == []
    assert list(own_stack.state.data.glob("*unfinished*")) == []


def test_an_interrupt_while_starting_leaves_nothing(own_stack: Stack) -> None:
    process = own_stack.launch()
    deadline = time.monotonic() + 30
    while "api" not in own_stack.processes() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert own_stack.stop() == 0
    assert own_stack.survivors() == []
    assert own_stack.processes() == {}


def test_an_external_database_is_used_and_its_administrator_left_alone(
    own_stack: Stack, new_database_url: Callable[..., str]
) -> None:
    url = new_database_url(migrated=False)
    own_stack.extra["SLUICE_DATABASE_URL"] = url
    own_stack.start()
    assert set(own_stack.processes()) == EVERYTHING - {"postgres"}
    assert me(own_stack).status_code == 200
    own_stack.stop()
    own_stack.state.env_file.unlink()
    own_stack.start()
    assert set(own_stack.env) == KEYS - {"SLUICE_PAT", "SLUICE_ADMIN_PASSWORD"}
    assert "sluice bootstrap --renew" in "".join(own_stack.output)
    own_stack.stop()
    assert own_stack.survivors() == []


def test_a_taken_port_is_one_line(own_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 8000 + own_stack.offset)):
        said = refused(own_stack)
    assert f"port {8000 + own_stack.offset} (gateway us over HTTP) is taken" in said


def test_a_newer_state_directory_is_one_line_and_untouched(own_stack: Stack) -> None:
    own_stack.state.root.mkdir(parents=True)
    written = json.dumps({"format": FORMAT + 1, "version": "99.0.0"})
    own_stack.state.version_file.write_text(written)
    assert "was written by Sluice 99.0.0" in refused(own_stack)
    assert own_stack.state.version_file.read_text() == written
    assert [path.name for path in own_stack.state.root.iterdir()] == ["version.json"]


def test_a_second_start_on_the_same_state_is_one_line(stack: Stack) -> None:
    other = Stack(stack.state.root, free_port_offset())
    process = other.launch()
    assert process.wait(30) == 1
    other.stop()
    assert other.output == [f"sluice: another `sluice up` (process {stack.pid}) already runs on {stack.state.root}\n"]
    assert me(stack).status_code == 200


def test_https_is_trusted_through_the_development_ca(stack: Stack) -> None:
    port = 8081 + stack.offset
    context = ssl.create_default_context(cafile=str(stack.state.ca_file))
    for name in ("global.api.localhost", "us.api.localhost", "localhost"):
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            tls.sendall(f"GET /readyz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            assert tls.recv(64).startswith(b"HTTP/1.1 200 ")


def test_the_console_says_what_runs(stack: Stack) -> None:
    page = httpx.get(stack.env["SLUICE_CONSOLE"])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for asset in ("/console/page.css", "/console/page.js", "/console/mark.svg"):
        assert asset in page.text
        assert httpx.get(stack.env["SLUICE_API"] + asset).status_code == 200


def test_doctor_finds_nothing_wrong(stack: Stack) -> None:
    result = stack.run("doctor")
    assert result.returncode == 0, result.stdout
    assert "ok   database    reachable" in result.stdout
    assert stack.env["SLUICE_PAT"] not in result.stdout


def test_no_log_holds_a_secret(stack: Stack) -> None:
    me(stack)
    secrets = [
        stack.env["SLUICE_PAT"],
        stack.env["SLUICE_ADMIN_PASSWORD"],
        (stack.state.secrets / "master.key").read_text().strip(),
    ]
    for path in stack.state.logs.glob("*.log"):
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), path.name


def test_the_tour_of_the_ready_block_works(stack: Stack) -> None:
    text = "".join(stack.output)
    tour = text.partition("A tour, to paste into a second terminal:")[2]
    script = f"cd {shlex.quote(str(Path.cwd()))}\n{tour}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    statuses = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("HTTP/1.1 ")]
    assert statuses == ["401", "200"], result.stdout + result.stderr
    assert '"authorized": true' in result.stdout

"""`sluice demo backend`: serves those who know its secret, and nobody else."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

SECRET = "open-sesame"


@contextlib.contextmanager
def demo_backend(*options: str) -> Iterator[str]:
    argv = [sys.executable, "-m", "cli", "demo", "backend", "--port", "0", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line.split()[3].rstrip(",")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with demo_backend("--secret", SECRET) as found:
        yield found


def test_the_right_secret_is_served(address: str) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "X-Other": "seen"}
    response = httpx.post(f"{address}/a/b?c=d", headers=headers, content=b"12345")
    document = response.json()
    assert response.status_code == 200
    assert (document["method"], document["path"], document["body_bytes"]) == ("POST", "/a/b?c=d", 5)
    assert document["headers"]["x-other"] == "seen"
    assert SECRET not in response.text


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer ünï"]
)
def test_anything_else_is_401(address: str, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.encode()}
    response = httpx.get(address, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "authorized" not in response.text


def test_an_open_one_serves_everybody() -> None:
    with demo_backend("--open") as address:
        for headers in ({}, {"Authorization": "Bearer whatever"}):
            response = httpx.get(address, headers=headers)
            assert (response.status_code, response.json()["authorized"]) == (200, False)
            assert "authorization" not in response.json()["headers"]


def test_open_and_a_secret_exclude_each_other() -> None:
    argv = [sys.executable, "-m", "cli", "demo", "backend", "--port", "0", "--open", "--secret", SECRET]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "exclude" in result.stderr


def test_a_connection_is_kept_and_bodies_are_framed(address: str) -> None:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {SECRET}"}) as client:
        assert client.post("/", content=iter([b"abc", b"defg"])).json()["body_bytes"] == 7
        assert client.head("/").content == b""
        assert client.get("/").status_code == 200


def test_a_body_that_is_too_long_is_refused(address: str) -> None:
    response = httpx.post(address, headers={"Authorization": f"Bearer {SECRET}"}, content=b"x" * (1024 * 1024 + 1))
    assert response.status_code == 413


def test_a_taken_port_is_one_line(address: str) -> None:
    port = address.rpartition(":")[2]
    result = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "backend", "--port", port], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == f"sluice: cannot listen on 127.0.0.1:{port}: Address already in use\n"

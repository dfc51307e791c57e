"""The product's first job through real processes: a backend that accepts only what came through its gateway."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateways import configure, hosts, make_control_plane, make_gateway, port_of, shows, transformer, until
from tests.support.backend import Traffic, ask, echo_backend
from tests.support.stack import Stack

_ROOT = Path(__file__).parents[2]


def test_a_gateway_in_two_regions_becomes_ready_and_injects_the_secret(stack: Stack) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, _, names = make_gateway(api, backend, "first", "us", "eu")
        assert set(names) == {"us", "eu"}
        for region, host in names.items():
            until(lambda region=region, host=host: shows(stack, region, host, "first"), f"gateway in {region}")
        listed = api.get("/v2/cloud-gateways/configurations", params={"filter[control_plane_id]": control_plane})
        configuration = listed.json()["data"][0]

        def states() -> set[str]:
            groups = api.get(f"/v2/cloud-gateways/configurations/{configuration['id']}").json()["dataplane_groups"]
            return {group["state"] for group in groups}

        until(lambda: states() == {"ready"}, "both groups ready")


def test_a_new_configuration_starts_as_initializing(stack: Stack) -> None:
    with stack.api() as api:
        answer = configure(api, make_control_plane(api), "us")
        assert answer.status_code == 200, answer.text
        assert answer.json()["dataplane_groups"][0]["state"] == "initializing"


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_serverless_gateways_are_made_in_one_call(stack: Stack, version: str, self_signed: tuple[str, str]) -> None:
    with stack.api() as api:
        control_plane = make_control_plane(api)
        endpoint = api.get(f"/v2/control-planes/{control_plane}").json()["config"]["control_plane_endpoint"]
        prefix = endpoint.removeprefix("https://").partition(".")[0]  # scripts cut it out of the URL
        body = {
            "control_plane": {"id": control_plane, "prefix": prefix, "region": "us"},
            "cluster_cert": self_signed[0],
            "cluster_cert_key": self_signed[1],
        }
        answer = api.post(f"/{version}/serverless-cloud-gateways", json=body)
        assert answer.status_code == 201, answer.text
        host = answer.json()["gateway_endpoint"].removeprefix("http://").removeprefix("https://").split(":")[0]
        until(lambda: hosts(api, control_plane) == {"us": host}, "the host name in proxy_urls")
        path = f"/{version}/serverless-cloud-gateways/{control_plane}"
        assert api.get(path).json()["gateway_endpoint"] == answer.json()["gateway_endpoint"]
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404


def test_a_changed_secret_goes_live_without_a_dropped_request(stack: Stack) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, plugin, names = make_gateway(api, backend, "secret-0", "us")
        host = names["us"]
        until(lambda: shows(stack, "us", host, "secret-0"), "the first secret")
        path = f"/v2/control-planes/{control_plane}/core-entities/plugins/{plugin}"
        with Traffic(port_of(stack, "us"), host, "/api/x") as traffic:
            for turn in range(1, 11):
                change = transformer(f"secret-{turn}")
                answer = api.patch(path, json=change) if turn % 2 else api.put(path, json=change)
                assert answer.status_code == 200, answer.text
                until(lambda turn=turn: shows(stack, "us", host, f"secret-{turn}"), f"secret {turn}")
        assert traffic.failures == []
        assert {status for status, _ in traffic.answers} == {200}


def test_deleting_the_control_plane_ends_its_gateway(stack: Stack) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, _, names = make_gateway(api, backend, "short", "us")
        until(lambda: shows(stack, "us", names["us"], "short"), "the gateway")
        assert api.delete(f"/v2/control-planes/{control_plane}").status_code == 204
        until(lambda: ask(port_of(stack, "us"), names["us"], "/api/x")[0] == 404, "404 on its host")
        assert api.get(f"/v2/control-planes/{control_plane}").status_code == 404


def test_removing_all_groups_ends_the_gateway_and_keeps_the_control_plane(stack: Stack) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, _, names = make_gateway(api, backend, "gone", "us")
        until(lambda: shows(stack, "us", names["us"], "gone"), "the gateway")
        until(lambda: configure(api, control_plane).status_code == 200, "an accepted removal")
        until(lambda: ask(port_of(stack, "us"), names["us"], "/api/x")[0] == 404, "404 on its host")
        assert api.get(f"/v2/control-planes/{control_plane}").json()["config"]["proxy_urls"] == []


def test_another_organization_sees_nothing(stack: Stack) -> None:
    with stack.api() as api:
        control_plane = make_control_plane(api)
        stranger = httpx.get(
            f"{stack.env['SLUICE_API']}/v2/control-planes/{control_plane}",
            headers={"Authorization": "Bearer kpat_" + "0" * 45},
        )
        assert stranger.status_code == 401


def test_the_tour_of_the_readme(stack: Stack, tmp_path: Path) -> None:
    """Runs the very commands that a new user copies."""
    text = (_ROOT / "README.md").read_text()
    tour = text[text.index("## The tour") : text.index("## What is in it")]
    blocks = re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "\n".join(["set -eu", "trap 'kill $(jobs -p)' EXIT", *blocks])
    for old, new in {
        ".venv/bin/sluice": f"'{sys.executable}' -m cli",
        ". .sluice/env": f". '{stack.state.root}/env'",
        "9999": str(port),
        ":8000": f":{port_of(stack, 'us')}",
        "curl -i": "curl -sS -o /dev/null -w 'status %{http_code}\\n'",
    }.items():
        assert old in script, old
        script = script.replace(old, new)
    file = tmp_path / "tour.sh"
    file.write_text(script)
    done = subprocess.run(
        ["bash", str(file)], capture_output=True, text=True, timeout=120, check=False, cwd=_ROOT, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"status (\d+)", done.stdout) == ["401", "200"], done.stdout + done.stderr

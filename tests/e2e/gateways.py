"""What the end-to-end tests do again and again: make a gateway, change it, wait until a change is live."""

import time
from collections.abc import Callable
from http.client import HTTPException
from uuid import uuid4

import httpx

from tests.support.backend import ask
from tests.support.stack import Stack

WAIT_SECONDS = 60.0


def until(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition. The limit only ends a test that has failed; it is no measurement."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def port_of(stack: Stack, region: str) -> int:
    return {"us": 8000, "eu": 8100}[region] + stack.offset


def make_control_plane(api: httpx.Client) -> str:
    answer = api.post(
        "/v2/control-planes",
        json={"name": f"e2e-{uuid4()}", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def configure(api: httpx.Client, control_plane: str, *regions: str) -> httpx.Response:
    return api.put(
        "/v2/cloud-gateways/configurations",
        json={
            "control_plane_id": control_plane,
            "control_plane_geo": "us",
            "kind": "serverless.v1",
            "dataplane_groups": [{"provider": "aws", "region": region} for region in regions],
        },
    )


def hosts(api: httpx.Client, control_plane: str) -> dict[str, str]:
    """Region -> host name, from the control plane's `config.proxy_urls`: gateways that are ready, and no others."""
    urls = api.get(f"/v2/control-planes/{control_plane}").json()["config"]["proxy_urls"]
    return {url["host"].split(".")[1]: url["host"] for url in urls}


def make_gateway(api: httpx.Client, backend: str, secret: str, *regions: str) -> tuple[str, str, dict[str, str]]:
    """A serverless gateway that injects `secret` on /api. Returns control plane id, plugin id and hosts by region."""
    control_plane = make_control_plane(api)
    assert configure(api, control_plane, *regions).status_code == 200
    core = f"/v2/control-planes/{control_plane}/core-entities"
    service = api.post(f"{core}/services", json={"name": "backend", "url": backend})
    assert service.status_code == 201, service.text
    service_id = service.json()["id"]
    route = api.post(f"{core}/services/{service_id}/routes", json={"name": "api", "paths": ["/api"]})
    assert route.status_code == 201, route.text
    plugin = api.post(f"{core}/services/{service_id}/plugins", json=transformer(secret))
    assert plugin.status_code == 201, plugin.text
    until(lambda: set(hosts(api, control_plane)) == set(regions), "host names of ready gateways")
    return control_plane, plugin.json()["id"], hosts(api, control_plane)


def transformer(secret: str) -> dict[str, object]:
    return {"name": "request-transformer", "config": {"add": {"headers": [f"Authorization:Bearer {secret}"]}}}


def shows(stack: Stack, region: str, host: str, secret: str) -> bool:
    """Whether the gateway injects that secret right now."""
    try:
        return ask(port_of(stack, region), host, "/api/x") == (200, f"Bearer {secret}")
    except (OSError, HTTPException):
        return False

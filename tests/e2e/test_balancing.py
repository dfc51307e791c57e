"""An upstream through real processes: its targets share the requests, their health is told, and an operator's word counts."""

import json
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.e2e.gateways import configure, hosts, make_control_plane, port_of, until
from tests.support.backend import echo_backend
from tests.support.stack import Stack

_CHECKS = {"passive": {"healthy": {"successes": 1}, "unhealthy": {"http_failures": 3}}}


def test_health_of_targets_is_told_and_an_operators_word_counts(stack: Stack) -> None:
    with stack.api() as api, ExitStack() as backends:
        control_plane = make_control_plane(api)
        assert configure(api, control_plane, "us").status_code == 200
        core = f"/v2/control-planes/{control_plane}/core-entities"
        _make(api, f"{core}/upstreams", {"name": "pool", "healthchecks": _CHECKS})
        targets: dict[str, str] = {}
        for _ in range(2):
            text = urlsplit(backends.enter_context(echo_backend())).netloc
            targets[text] = _make(api, f"{core}/upstreams/pool/targets", {"target": text})["id"]
        service = _make(api, f"{core}/services", {"name": "a", "host": "pool"})
        _make(api, f"{core}/services/{service['id']}/routes", {"name": "r", "paths": ["/"]})
        until(lambda: "us" in hosts(api, control_plane), "the host name")
        host = hosts(api, control_plane)["us"]

        def served() -> set[str]:
            return {_backend(port_of(stack, "us"), host) for _ in range(6)}

        def health() -> dict[str, str]:
            answer = api.get(f"{core}/upstreams/pool/health")
            assert answer.status_code == 200, answer.text
            assert all({node["region"] for node in target["nodes"]} <= {"us"} for target in answer.json()["data"])
            return {target["target"]: target["health"] for target in answer.json()["data"]}

        until(lambda: served() == set(targets), "requests at both targets")
        until(lambda: health() == dict.fromkeys(targets, "HEALTHY"), "both targets' health")
        out, stays = targets
        assert api.put(f"{core}/upstreams/pool/targets/{targets[out]}/unhealthy").status_code == 204
        until(lambda: served() == {stays}, "no more requests at the target that was taken out")
        until(lambda: health() == {out: "UNHEALTHY", stays: "HEALTHY"}, "its health")
        weight = api.get(f"{core}/upstreams/pool/health", params={"balancer_health": "1"}).json()["data"]["details"][
            "weight"
        ]
        assert weight == {"total": 200, "available": 100, "unavailable": 100}
        assert api.put(f"{core}/upstreams/pool/targets/{targets[out]}/healthy").status_code == 204
        until(lambda: served() == set(targets), "requests at both again")
        until(lambda: health() == dict.fromkeys(targets, "HEALTHY"), "both targets' health again")


def _make(api: httpx.Client, path: str, document: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=document)
    assert answer.status_code == 201, answer.text
    return answer.json()


def _backend(port: int, host: str) -> str:
    """Which target a request reached: it saw its own name. Empty when there was no good answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
        return json.loads(body)["host"] if response.status == 200 else ""
    finally:
        connection.close()

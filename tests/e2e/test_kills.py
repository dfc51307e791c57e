"""Any process may be killed at any time: traffic already configured goes on, accepted changes become live."""

import os
import random
import signal
import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.gateways import configure, hosts, make_control_plane, make_gateway, port_of, shows, transformer, until
from tests.support.backend import Traffic, echo_backend
from tests.support.stack import Stack

# Everything but the runtimes: whatever of these dies, no request through a gateway may notice.
_CONTROL_PLANE = ["api", "worker", "beat", "postgres", "valkey-broker", "valkey-counters"]


def kill(stack: Stack, name: str) -> int:
    """Kill a process of this installation that this test run started."""
    pid = stack.processes()[name]
    os.kill(pid, signal.SIGKILL)
    return pid


def accepted(call: Callable[[], httpx.Response], *statuses: int) -> httpx.Response:
    """Repeat a call until it is accepted, as a client would: no answer and 5xx mean try again."""
    found: list[httpx.Response] = []

    def attempt() -> bool:
        try:
            answer = call()
        except httpx.TransportError:
            return False
        if answer.status_code >= 500:
            return False
        assert answer.status_code in statuses, answer.text
        found.append(answer)
        return True

    until(attempt, "an accepted call")
    return found[-1]


def back(stack: Stack, name: str, former: int) -> bool:
    return stack.processes().get(name) not in {None, former}


@pytest.mark.parametrize("victim", _CONTROL_PLANE)
def test_traffic_goes_on_and_changes_become_live(stack: Stack, victim: str) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, plugin, names = make_gateway(api, backend, "before", "us")
        host = names["us"]
        until(lambda: shows(stack, "us", host, "before"), "the gateway")
        plugin_path = f"/v2/control-planes/{control_plane}/core-entities/plugins/{plugin}"
        with Traffic(port_of(stack, "us"), host, "/api/x") as traffic:
            former = kill(stack, victim)
            accepted(lambda: api.put(plugin_path, json=transformer("after")), 200)
            until(lambda: shows(stack, "us", host, "after"), f"the change, with {victim} killed")
            until(lambda: back(stack, victim, former), f"{victim} is back")
        assert traffic.failures == []
        assert {status for status, _ in traffic.answers} == {200}


@pytest.mark.parametrize("victim", _CONTROL_PLANE)
def test_provisioning_completes(stack: Stack, victim: str) -> None:
    """The process dies right after the call was accepted."""
    with stack.api() as api, echo_backend() as backend:
        control_plane = make_control_plane(api)
        core = f"/v2/control-planes/{control_plane}/core-entities"
        service = api.post(f"{core}/services", json={"url": backend}).json()["id"]
        api.post(f"{core}/services/{service}/routes", json={"paths": ["/api"]})
        api.post(f"{core}/services/{service}/plugins", json=transformer("deep"))
        assert configure(api, control_plane, "us", "eu").status_code == 200
        former = kill(stack, victim)
        names: dict[str, str] = {}

        def ready() -> bool:
            params = {"filter[control_plane_id]": control_plane}
            listed = accepted(lambda: api.get("/v2/cloud-gateways/configurations", params=params), 200)
            groups = listed.json()["data"][0]["dataplane_groups"]
            names.update({group["region"]: group["hostnames"][0] for group in groups})
            return {group["state"] for group in groups} == {"ready"}

        until(ready, f"both groups ready, {victim} killed")
        for region, host in names.items():
            until(lambda region=region, host=host: shows(stack, region, host, "deep"), f"{region}, {victim} killed")
        until(lambda: back(stack, victim, former), f"{victim} is back")


@pytest.mark.parametrize("victim", ["gateway-us", "watchdog-us"])
def test_a_killed_runtime_comes_back_with_its_configuration(stack: Stack, victim: str) -> None:
    with stack.api() as api, echo_backend() as backend:
        control_plane, plugin, names = make_gateway(api, backend, "kept", "us", "eu")
        for region, host in names.items():
            until(lambda region=region, host=host: shows(stack, region, host, "kept"), f"gateway in {region}")
        with Traffic(port_of(stack, "eu"), names["eu"], "/api/x") as neighbour:
            former = kill(stack, victim)
            until(lambda: shows(stack, "us", names["us"], "kept"), "the region serves again")
            path = f"/v2/control-planes/{control_plane}/core-entities/plugins/{plugin}"
            assert api.put(path, json=transformer("changed")).status_code == 200
            until(lambda: shows(stack, "us", names["us"], "changed"), "changes arrive again")
            until(lambda: back(stack, victim, former), f"{victim} is back")
        assert neighbour.failures == []


def test_a_runtime_starts_and_serves_with_no_control_plane(stack: Stack) -> None:
    """API, database and runtime die together: the runtime comes back from its own disk."""
    with stack.api() as api, echo_backend() as backend:
        _, _, names = make_gateway(api, backend, "alone", "us")
        until(lambda: shows(stack, "us", names["us"], "alone"), "the gateway")
        time.sleep(0.5)  # the journal is written behind the answer that `shows` saw
        former = stack.processes()["gateway-us"]
        for name in ("postgres", "api", "gateway-us"):
            kill(stack, name)
        until(lambda: shows(stack, "us", names["us"], "alone"), "the region serves again")
        until(lambda: back(stack, "gateway-us", former), "the runtime is back")
        until(lambda: accepted(lambda: api.get("/v3/users/me"), 200).status_code == 200, "the API is back")


def test_random_kills_during_a_tour(stack: Stack) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with stack.api() as api, echo_backend() as backend:
        control_plane, plugin, names = make_gateway(api, backend, "turn-0", "us", "eu")
        for region, host in names.items():
            until(lambda region=region, host=host: shows(stack, region, host, "turn-0"), f"gateway in {region}")
        path = f"/v2/control-planes/{control_plane}/core-entities/plugins/{plugin}"
        with Traffic(port_of(stack, "eu"), names["eu"], "/api/x") as traffic:
            for turn in range(1, 9):
                victim = dice.choice([*_CONTROL_PLANE, "gateway-us"])
                until(lambda victim=victim: victim in stack.processes(), f"{victim} runs")
                former = kill(stack, victim)
                secret = f"turn-{turn}"
                accepted(lambda secret=secret: api.put(path, json=transformer(secret)), 200)
                for region, host in names.items():
                    what = f"{secret} in {region}, {victim} killed, seed {seed}"
                    until(lambda region=region, host=host, secret=secret: shows(stack, region, host, secret), what)
                until(lambda victim=victim, former=former: back(stack, victim, former), f"{victim} is back")
        assert traffic.failures == []
        assert {status for status, _ in traffic.answers} == {200}
        assert hosts(api, control_plane) == names

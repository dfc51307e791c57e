"""A control plane group through real processes: one gateway serves what all members configure."""

from http.client import HTTPException
from uuid import uuid4

import httpx

from tests.e2e.gateways import configure, hosts, port_of, until
from tests.support.backend import ask, echo_backend
from tests.support.stack import Stack


def make(api: httpx.Client, cluster_type: str, **more: object) -> str:
    answer = api.post("/v2/control-planes", json={"name": f"e2e-{uuid4()}", "cluster_type": cluster_type, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def expose(api: httpx.Client, member: str, backend: str, path: str, secret: str) -> str:
    """Have a member answer on a path, with a secret injected. Returns the id of its service."""
    core = f"/v2/control-planes/{member}/core-entities"
    service = api.post(f"{core}/services", json={"name": path.strip("/"), "url": backend})
    assert service.status_code == 201, service.text
    below = f"{core}/services/{service.json()['id']}"
    assert api.post(f"{below}/routes", json={"name": path.strip("/"), "paths": [path]}).status_code == 201
    config = {"add": {"headers": [f"Authorization:Bearer {secret}"]}}
    assert api.post(f"{below}/plugins", json={"name": "request-transformer", "config": config}).status_code == 201
    return service.json()["id"]


def test_a_gateway_serves_all_members_and_says_what_it_leaves_out(stack: Stack) -> None:
    with stack.api() as api, echo_backend() as backend:
        group = make(api, "CLUSTER_TYPE_CONTROL_PLANE_GROUP", cloud_gateway=True)
        one, two = make(api, "CLUSTER_TYPE_CONTROL_PLANE"), make(api, "CLUSTER_TYPE_CONTROL_PLANE")
        members = {"members": [{"id": one}, {"id": two}]}
        assert api.post(f"/v2/control-planes/{group}/group-memberships/add", json=members).status_code == 204
        assert configure(api, group, "us").status_code == 200
        expose(api, one, backend, "/one", "first")
        expose(api, two, backend, "/two", "second")
        until(lambda: set(hosts(api, group)) == {"us"}, "the host name of the gateway")
        host = hosts(api, group)["us"]

        def answers(path: str) -> tuple[int, str] | None:
            try:
                return ask(port_of(stack, "us"), host, path)
            except (OSError, HTTPException):
                return None

        def status() -> dict[str, object]:
            return api.get(f"/v2/control-planes/{group}/group-status").json()["item"]

        until(lambda: answers("/one/x") == (200, "Bearer first"), "the first member")
        until(lambda: answers("/two/x") == (200, "Bearer second"), "the second member")
        assert status()["state"] == "OK"

        # The same name in both: that of the member who joined first counts, and everything else goes on changing.
        core = f"/v2/control-planes/{two}/core-entities"
        collides = api.post(f"{core}/services", json={"name": "one", "url": backend}).json()["id"]
        assert api.post(f"{core}/services/{collides}/routes", json={"paths": ["/left-out"]}).status_code == 201
        expose(api, two, backend, "/three", "third")
        until(lambda: answers("/three/x") == (200, "Bearer third"), "a change beside a collision")
        assert answers("/one/x") == (200, "Bearer first")
        assert answers("/left-out/x") not in {(200, ""), None}
        found = status()
        assert found["state"] == "CONFLICT"
        assert collides in str(found["conflicts"])
        assert api.delete(f"{core}/services/{collides}").status_code == 400  # its route first
        for route in api.get(f"{core}/services/{collides}/routes").json()["data"]:
            assert api.delete(f"{core}/routes/{route['id']}").status_code == 204
        assert api.delete(f"{core}/services/{collides}").status_code == 204
        until(lambda: status()["state"] == "OK", "the end of the collision")

        # Lua, which no gateway of ours runs: the whole of it is refused, told, and what ran before goes on.
        plugin = api.post(f"{core}/plugins", json={"name": "pre-function", "config": {"access": ["return"]}})
        assert plugin.status_code == 201, plugin.text
        until(lambda: status()["state"] == "CONFLICT", "the refusal")
        (conflict,) = status()["conflicts"]  # type: ignore[misc]
        assert (conflict["cluster_id"], conflict["resource"]["id"]) == (two, plugin.json()["id"])
        expose(api, one, backend, "/four", "fourth")
        assert answers("/one/x") == (200, "Bearer first")
        assert answers("/two/x") == (200, "Bearer second")
        assert api.delete(f"{core}/plugins/{plugin.json()['id']}").status_code == 204
        until(lambda: answers("/four/x") == (200, "Bearer fourth"), "what changed meanwhile")
        until(lambda: status()["state"] == "OK", "the end of the refusal")

"""An engine of plain dictionaries, with the interface of the compiled one."""

import json
from typing import Any

from gateway_runtime.reports import EngineFault


class FakeEngine:
    """Keeps versions like the real engine; `refuse` and `panic` hold (control plane id, version) pairs."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.applied: list[tuple[str, str, int]] = []
        self.refuse: set[tuple[str, int]] = set()
        self.panic: set[tuple[str, int]] = set()
        self.started = False
        self.stopped_with: list[float] = []
        self.found: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []

    def start(self) -> list[str]:
        self.started = True
        return ["127.0.0.1:0"]

    def stop(self, grace_seconds: float) -> None:
        self.stopped_with.append(grace_seconds)

    def apply(self, update: bytes) -> bytes:
        document: dict[str, Any] = json.loads(update)
        key, kind, version = document["control_plane_id"], document["kind"], document["version"]
        errors: list[dict[str, Any]] = []
        if (key, version) in self.panic:
            raise EngineFault("the engine failed on this configuration")
        if kind == "delta" and self.held.get(key) != document["from_version"]:
            errors = [{"code": "version-gap", "message": "another version is held"}]
        elif (key, version) in self.refuse:
            errors = [{"entity": "plugin", "id": "p", "name": None, "field": "config.add", "message": "bad"}]
        else:
            self.held[key] = version
            self.applied.append((key, kind, version))
        report = {"control_plane_id": key, "version": version, "accepted": not errors, "errors": errors}
        return json.dumps(report).encode()

    def remove(self, control_plane_id: str) -> bool:
        return self.held.pop(control_plane_id, None) is not None

    def versions(self) -> bytes:
        return json.dumps(self.held).encode()

    def stats(self) -> bytes:
        tenants = {
            key: {"organization_id": "org", "requests_total": 4, "responses_total": {"2xx": 3, "5xx": 1}}
            for key in self.held
        }
        return json.dumps({"connections_open": 4, "connections_total": 9, "tenants": tenants}).encode()

    def health(self) -> bytes:
        return json.dumps(self.found).encode()

    def metrics(self, control_plane_id: str) -> str | None:
        return "kong_http_requests_total 4\n" if control_plane_id in self.held else None

    def set_target_health(self, order: bytes) -> bool:
        self.orders.append(json.loads(order))
        return True

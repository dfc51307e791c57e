"""One request with one plugin more: what the plugins' benchmark compares."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from tests.bench.rivals.job import KEY_HEADER, LIMIT, SECRET, consumer, key

BARE = "bare"
CONSUMERS = 1_000
WHO = 617
"""The consumer that asks."""
GROUP = "testers"
_ISSUER = "bench-issuer"
_JWT_SECRET = "bench-6bc1bee22e409f96e93d7e117393172a"


@dataclass(frozen=True, slots=True)
class PluginJob:
    """A request with a plugin.

    Attributes:
        over: the job that has all the same but the plugin.
        plugin, config: what is added.
        headers: lines that the client sends with it, besides those of `over`.
        most_us: CPU time that the plugin may add to a request, in microseconds; None where nothing is promised.
    """

    plugin: str
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    over: str = BARE
    headers: tuple[str, ...] = ()
    most_us: float | None = None


def _token() -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = {"alg": "HS256", "typ": "JWT"}
    signed = ".".join(part(json.dumps(value).encode()) for value in (head, {"iss": _ISSUER, "sub": consumer(WHO)}))
    return f"{signed}.{part(hmac.digest(_JWT_SECRET.encode(), signed.encode(), 'sha256'))}"


_ORIGIN = "https://shop.example"
_METRICS = ("status_code_metrics", "latency_metrics", "bandwidth_metrics", "upstream_health_metrics")

JOBS: dict[str, PluginJob] = {
    "key-auth": PluginJob("key-auth", {"key_names": [KEY_HEADER]}, headers=(f"{KEY_HEADER}: {key(WHO)}",), most_us=1.5),
    "acl": PluginJob("acl", {"allow": [GROUP]}, over="key-auth", most_us=0.5),
    "rate-limiting": PluginJob("rate-limiting", {"minute": LIMIT, "policy": "local", "limit_by": "ip"}, most_us=1.5),
    "request-transformer": PluginJob(
        "request-transformer",
        {"replace": {"headers": [f"Authorization:{SECRET}"]}, "add": {"headers": [f"Authorization:{SECRET}"]}},
        most_us=1.5,
    ),
    "cors": PluginJob("cors", {"origins": [_ORIGIN]}, headers=(f"Origin: {_ORIGIN}",), most_us=0.5),
    "ip-restriction": PluginJob("ip-restriction", {"allow": ["127.0.0.0/8", "10.0.0.0/8"]}, most_us=0.3),
    "correlation-id": PluginJob("correlation-id", {"header_name": "Kong-Request-ID"}, most_us=0.5),
    "prometheus": PluginJob("prometheus", dict.fromkeys(_METRICS, True), most_us=1.0),
    "jwt": PluginJob("jwt", headers=(f"Authorization: Bearer {_token()}",), most_us=5.0),
    "file-log": PluginJob("file-log", {"path": "/requests.log"}, most_us=3.0),
    "zipkin": PluginJob("zipkin", headers=("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",)),
    "opentelemetry": PluginJob("opentelemetry", {"traces_endpoint": "http://127.0.0.1:9/", "sampling_rate": 0}),
    "session": PluginJob("session", over="key-auth"),
    "basic-auth": PluginJob(
        "basic-auth",
        headers=("Authorization: Basic " + base64.b64encode(f"{consumer(WHO)}:{key(WHO)}".encode()).decode(),),
    ),
    "response-transformer": PluginJob("response-transformer", {"add": {"headers": ["X-Served-By:bench"]}}),
    "bot-detection": PluginJob("bot-detection", {"deny": ["evil.*crawler"]}, headers=("User-Agent: curl/8.5.0",)),
    "request-size-limiting": PluginJob("request-size-limiting", {"allowed_payload_size": 8}),
}


def chain(name: str) -> list[PluginJob]:
    """The job and those below it, the lowest first."""
    job = JOBS.get(name)
    return [] if job is None else [*chain(job.over), job]


def configuration(backend_port: int) -> dict[str, Any]:
    """A route for each job, as a declarative file."""
    names = [BARE, *JOBS]
    consumers = [
        {"username": consumer(number), "keyauth_credentials": [{"key": key(number)}]} for number in range(CONSUMERS)
    ]
    consumers[WHO] |= {
        "acls": [{"group": GROUP}],
        "jwt_secrets": [{"key": _ISSUER, "secret": _JWT_SECRET}],
        "basicauth_credentials": [{"username": consumer(WHO), "password": key(WHO)}],
    }
    return {
        "_format_version": "3.0",
        "services": [{"name": "backend", "url": f"http://127.0.0.1:{backend_port}"}],
        "routes": [{"name": name, "service": {"name": "backend"}, "paths": [f"/{name}"]} for name in names],
        "consumers": consumers,
        "plugins": [
            {"name": job.plugin, "route": {"name": name}, "config": job.config} for name in names for job in chain(name)
        ],
    }

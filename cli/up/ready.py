"""What the user reads when everything runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.up.state import StateDir
    from core.settings import Settings


def ready_block(
    settings: Settings, state: StateDir, published: Mapping[str, str], seconds: float, *, new_credentials: bool
) -> str:
    """Addresses, token and a tour; `published` is the content of the env file."""
    env_file = shlex.quote(_short(state.env_file))
    rows = [
        (
            "API",
            f"{published['SLUICE_API']}  and  https://localhost:{settings.api_listen_tls_port} (CA in {_short(state.ca_file)})",
        ),
        ("Console", published["SLUICE_CONSOLE"]),
    ]
    for region in settings.listening_regions:
        host = f"{{prefix}}.{region.name}.{settings.gateway_domain}"
        both = f"http://{host}:{region.client_http_port}  and  https://{host}:{region.client_https_port}"
        rows.append((f"Gateway {region.name}", both))
    rows.append(
        ("Token", published.get("SLUICE_PAT", "made before, not kept here; `sluice bootstrap --renew` makes a new one"))
    )
    if new_credentials:
        admin = f"{published['SLUICE_ADMIN_EMAIL']}  password {published['SLUICE_ADMIN_PASSWORD']}  (shown once)"
        rows.append(("Admin", admin))
    rows.append(("Shell", f". {env_file}"))
    table = "\n".join(f"  {label:<11}{value}" for label, value in rows)
    title = f"READY in {seconds:.1f} s. Ctrl-C stops everything; the state stays in {_short(state.root)}."
    return f"\n{title}\n\n{table}\n\nA tour, to paste into a second terminal:\n\n{_tour(settings, env_file)}\n"


def _tour(settings: Settings, env_file: str) -> str:
    program = shlex.quote(_short(Path(sys.executable).with_name("sluice")))
    region = settings.regions[0].name
    backend_port = 9090 + settings.port_offset
    return f"""\
  . {env_file}
  call() {{ curl -sS -H "Authorization: Bearer $SLUICE_PAT" -H 'Content-Type: application/json' "$@"; }}
  pick() {{ python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }}

  # a backend that serves only those who know its secret
  {program} demo backend --port {backend_port} --secret open-sesame & BACKEND=$!; sleep 1

  # a serverless gateway for it
  CP=$(call $SLUICE_API/v2/control-planes -d '{{"name": "tour", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": true}}' | pick '["id"]')
  call -X PUT $SLUICE_API/v2/cloud-gateways/configurations -d '{{"control_plane_id": "'$CP'", "control_plane_geo": "{region}", "kind": "serverless.v1",
    "dataplane_groups": [{{"provider": "aws", "region": "{region}"}}]}}' > /dev/null
  ENTITIES=$SLUICE_API/v2/control-planes/$CP/core-entities
  SERVICE=$(call $ENTITIES/services -d '{{"name": "demo", "url": "http://127.0.0.1:{backend_port}"}}' | pick '["id"]')
  call $ENTITIES/services/$SERVICE/routes -d '{{"name": "demo", "paths": ["/demo"]}}' > /dev/null
  call $ENTITIES/services/$SERVICE/plugins -d '{{"name": "request-transformer",
    "config": {{"add": {{"headers": ["Authorization:Bearer open-sesame"]}}}}}}' > /dev/null

  # refused directly, served through the gateway
  curl -i http://127.0.0.1:{backend_port}/demo
  until HOST=$(call $SLUICE_API/v2/control-planes/$CP | pick '["config"]["proxy_urls"][0]["host"]' 2> /dev/null); do sleep 0.2; done
  sleep 1
  curl -i http://$HOST:{settings.listening_regions[0].client_http_port}/demo
  kill $BACKEND"""


def _short(path: Path) -> str:
    """Relative where that is shorter to read."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

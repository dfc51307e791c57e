"""`sluice node issue`: identities for gateways that no worker of ours starts, for example containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from cli.configuration import local_settings
from cli.faults import Fault
from cli.up import secrets
from cli.up.certificates import Authority
from cli.up.state import StateDir, write_private
from core.clock import SystemClock
from core.runtime.node_ca import Node, NodeCa

if TYPE_CHECKING:
    from pathlib import Path

    from core.settings import Settings


def issue_nodes(regions: list[str], directory: Path, days: int) -> None:
    """Write `<directory>/<region>/{node.pem,node.key,gateway.json}` for each region; says per line what was done.

    A node keeps its id and key; its certificate is renewed when two thirds of its life are over. The node CA is made
    when the settings name none, or name files that are not there yet.
    Raises: Fault: an unknown region, or files that cannot be used.
    """
    settings = local_settings()
    for region in regions:
        if settings.region(region) is None:
            known = ", ".join(item.name for item in settings.regions)
            raise Fault(f"there is no region {region}; SLUICE_REGIONS has {known}", exit_code=2)
    authority = _authority(settings)
    try:
        authority.certificate_file.parent.mkdir(parents=True, exist_ok=True)
        authority.key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority.ensure("Sluice node CA")
        node_ca = NodeCa.load(authority.certificate_file, authority.key_file)
        for region in regions:
            _issue(node_ca, region, directory.absolute() / region, days)
    except OSError as error:
        raise Fault(f"cannot write {error.filename or directory}: {error.strerror}") from error


def _authority(settings: Settings) -> Authority:
    if settings.node_ca_cert_file is not None and settings.node_ca_key_file is not None:
        return Authority(settings.node_ca_cert_file, settings.node_ca_key_file)
    if settings.node_ca_cert_file is not None:
        raise Fault("SLUICE_NODE_CA_KEY_FILE is needed to issue certificates and not set", exit_code=2)
    return secrets.node_authority(StateDir.at(settings.state_dir))


def _issue(node_ca: NodeCa, region: str, folder: Path, days: int) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    spec_file, certificate_file, key_file = folder / "gateway.json", folder / "node.pem", folder / "node.key"
    node = Node(_known_id(spec_file) or uuid4(), region)
    issued = node_ca.ensure_files(node, certificate_file, key_file, SystemClock().now(), days)
    # The rest of a gateway's settings comes from SLUICE_GATEWAY_* variables of whoever starts it.
    spec = {
        "region": region,
        "node_id": str(node.node_id),
        "node_certificate_file": str(certificate_file),
        "node_key_file": str(key_file),
    }
    write_private(spec_file, json.dumps(spec, indent=2) + "\n")
    print(f"{region}: node {node.node_id} {'issued' if issued else 'kept'}, {spec_file}", flush=True)


def _known_id(spec_file: Path) -> UUID | None:
    try:
        return UUID(json.loads(spec_file.read_text())["node_id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None

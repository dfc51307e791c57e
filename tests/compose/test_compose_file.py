"""docker-compose.yml: complete, consistent, and about commands and settings that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.main import app
from core.settings import Settings, load_settings
from gateway_runtime.spec import GatewaySpec
from tests.support.dockerfile import Stage

Services = dict[str, dict[str, Any]]

EXPECTED = {
    *("postgres", "valkey-broker", "valkey-counters", "migrate", "bootstrap", "nodes"),
    *("api", "worker", "beat", "gateway-us", "gateway-eu"),
}
ONE_SHOTS = {"migrate", "bootstrap", "nodes"}
GATEWAYS = {"gateway-us", "gateway-eu"}


def published(service: dict[str, Any]) -> dict[int, int]:
    """Host port -> container port."""
    return {int(host): int(inner) for host, inner in (port.split(":") for port in service.get("ports", []))}


def environments(services: Services) -> list[tuple[str, str, str]]:
    return [
        (name, variable, str(value))
        for name, service in services.items()
        for variable, value in service.get("environment", {}).items()
    ]


def test_every_part_of_the_design_is_there(services: Services) -> None:
    assert set(services) == EXPECTED


def test_every_service_has_an_image_and_ours_have_a_stage(
    services: Services, stages: dict[str, Stage], root: Path
) -> None:
    for name, service in services.items():
        assert service["image"], name
        if "build" in service:
            assert (root / service["build"]["dockerfile"]).is_file()
            assert service["build"]["target"] in stages
            assert service["image"].startswith(f"sluice-{service['build']['target']}:")
        else:
            assert not service["image"].endswith(":latest"), name
            assert ":" in service["image"], name


def test_every_command_is_one_of_the_command_line(services: Services) -> None:
    for name, service in services.items():
        if "build" not in service:
            continue
        command, arguments = typer.main.get_command(app), list(service["command"])
        context = command.make_context("sluice", list(arguments))
        while hasattr(command, "resolve_command"):
            rest = [*getattr(context, "_protected_args", []), *context.args]
            word, command, arguments = command.resolve_command(context, rest)
            assert command is not None, name
            context = command.make_context(word, list(arguments), parent=context)
        assert not context.args, name


def test_every_variable_is_a_setting(services: Services) -> None:
    known = {f"SLUICE_{field.upper()}" for field in Settings.model_fields}
    known_to_gateways = {f"SLUICE_GATEWAY_{field.upper()}" for field in GatewaySpec.model_fields}
    for name, variable, _ in environments(services):
        if variable.startswith("SLUICE_"):
            assert variable in (known_to_gateways if name in GATEWAYS else known), (name, variable)


def test_the_settings_are_valid_together(services: Services) -> None:
    for name in ("migrate", "bootstrap", "api", "worker", "beat"):
        given = {
            variable: re.sub(r"\$\{\w+:-?([^}?]*)\}", r"\1", str(value))
            if "MASTER_KEY" not in variable
            else "A" * 43 + "="
            for variable, value in services[name]["environment"].items()
        }
        settings = load_settings(given)
        assert settings.driver == "external", name
        assert settings.require_database_url().startswith("postgresql://"), name
        settings.require_master_key()


def test_a_gateway_is_told_all_that_it_needs(services: Services) -> None:
    from_file = {"region", "node_id", "node_certificate_file", "node_key_file"}
    needed = {name for name, field in GatewaySpec.model_fields.items() if field.is_required()}
    from_image = {"state_dir"}
    for name in GATEWAYS:
        given = {variable.removeprefix("SLUICE_GATEWAY_").lower() for variable in services[name]["environment"]}
        assert needed - from_file - from_image <= given, name


def test_gateways_get_their_own_identity_only(services: Services) -> None:
    for name in GATEWAYS:
        region = name.removeprefix("gateway-")
        mounts = [mount for mount in services[name]["volumes"] if "/nodes/" in mount]
        assert mounts == [f"node-{region}:/nodes/{region}:ro"]
        assert services[name]["command"][-1] == f"/nodes/{region}/gateway.json"
        assert f"node-{region}:/nodes/{region}" in services["nodes"]["volumes"]
    regions = {name.removeprefix("gateway-") for name in GATEWAYS}
    assert regions <= set(services["nodes"]["command"])
    assert regions == {region.name for region in load_settings({}).regions}


def test_the_key_of_the_node_authority_is_with_the_issuer_only(services: Services) -> None:
    holders = {
        name
        for name, service in services.items()
        if any("node-ca-private" in mount for mount in service.get("volumes", []))
    }
    assert holders == {"nodes"}


def test_waits_are_for_services_that_can_fulfil_them(services: Services) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in services, (name, other)
            if wait["condition"] == "service_completed_successfully":
                assert other in ONE_SHOTS, (name, other)
            else:
                assert wait["condition"] == "service_healthy", (name, other)
                assert services[other]["healthcheck"].get("test"), (name, other)


def test_one_shots_end_and_all_others_stay_and_tell_their_health(services: Services) -> None:
    for name, service in services.items():
        if name in ONE_SHOTS:
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_our_containers_have_no_more_rights_than_they_need(services: Services) -> None:
    for name, service in services.items():
        if "build" in service:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert "privileged" not in service, name


def test_volumes_are_declared_and_used(compose: dict[str, Any], services: Services) -> None:
    used = {mount.partition(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert used == set(compose["volumes"])


def test_ports_are_those_of_the_contract(services: Services) -> None:
    settings = load_settings({})
    assert published(services["api"]) == {
        settings.api_port: settings.api_port,
        settings.api_tls_port: settings.api_tls_port,
    }
    for region in settings.regions:
        assert set(published(services[f"gateway-{region.name}"])) == {region.http_port, region.https_port}
    for name in EXPECTED - GATEWAYS - {"api"}:
        assert not published(services[name]), name


def test_gateways_listen_where_their_ports_lead(services: Services) -> None:
    for name in GATEWAYS:
        listeners = services[name]["environment"]["SLUICE_GATEWAY_LISTENERS"]
        inner = {int(item.rpartition(":")[2]) for item in listeners.split(",")}
        assert inner == set(published(services[name]).values())
        status = services[name]["environment"]["SLUICE_GATEWAY_STATUS_ADDRESS"]
        assert f"http://{status}/status/ready" in services[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("variable", ["SLUICE_MASTER_KEY", "SLUICE_POSTGRES_PASSWORD"])
def test_secrets_come_from_outside(services: Services, variable: str) -> None:
    values = [value for _, _, value in environments(services) if variable in value]
    assert values
    assert all(f"${{{variable}:?" in value for value in values)


def test_the_two_stores_keep_their_promises(services: Services) -> None:
    broker, counters = (" ".join(services[f"valkey-{role}"]["command"]) for role in ("broker", "counters"))
    assert "--maxmemory-policy noeviction" in broker
    assert "--appendonly yes" in broker
    assert "--maxmemory-policy allkeys-lru" in counters
    assert services["valkey-broker"]["volumes"]

import json
from pathlib import Path
from typing import Any

import pytest

from gateway_runtime.spec import GatewaySpec, SpecError, split_address

GOOD: dict[str, Any] = {
    "region": "us",
    "node_id": "11111111-0000-4000-8000-000000000001",
    "listeners": [{"address": "127.0.0.1:8000", "tls": False}, {"address": "127.0.0.1:8443", "tls": True}],
    "status_address": "127.0.0.1:8010",
    "api_url": "http://127.0.0.1:8080",
    "node_certificate_file": "node.crt",
    "node_key_file": "node.key",
    "state_dir": "state",
}


def written(directory: Path, **changes: object) -> Path:
    path = directory / "spec.json"
    path.write_text(json.dumps(GOOD | changes))
    return path


def test_file_is_read(tmp_path: Path) -> None:
    spec = GatewaySpec.load(written(tmp_path), {})
    assert spec.region == "us"
    options = json.loads(spec.engine_options("1.2.3"))
    assert options == {
        "listeners": [
            {**listener, "protocol": "http", "public_port": None, "proxy_protocol": False}
            for listener in GOOD["listeners"]
        ],
        "threads": 0,
        "default_certificate": None,
        "log_directory": str(Path("state/logs").absolute()),
        "version": "1.2.3",
    }


def test_environment_alone_is_enough() -> None:
    environ = {f"SLUICE_GATEWAY_{key.upper()}": str(value) for key, value in GOOD.items() if key != "listeners"}
    environ["SLUICE_GATEWAY_LISTENERS"] = "0.0.0.0:8000, tls://0.0.0.0:8443, stream://[::]:9000, stream+tls://[::]:9443"
    spec = GatewaySpec.load(None, environ | {"PATH": "/bin"})
    assert [(item.address, item.tls, item.protocol) for item in spec.listeners] == [
        ("0.0.0.0:8000", False, "http"),
        ("0.0.0.0:8443", True, "http"),
        ("[::]:9000", False, "stream"),
        ("[::]:9443", True, "stream"),
    ]


def test_listeners_may_be_json() -> None:
    environ = {f"SLUICE_GATEWAY_{key.upper()}": str(value) for key, value in GOOD.items() if key != "listeners"}
    listener = {"address": "0.0.0.0:8443", "tls": True, "public_port": 443, "proxy_protocol": True}
    spec = GatewaySpec.load(None, environ | {"SLUICE_GATEWAY_LISTENERS": json.dumps([listener])})
    assert (spec.listeners[0].public_port, spec.listeners[0].proxy_protocol) == (443, True)
    with pytest.raises(SpecError, match="SLUICE_GATEWAY_LISTENERS"):
        GatewaySpec.load(None, environ | {"SLUICE_GATEWAY_LISTENERS": "[{"})


def test_an_unknown_kind_of_listener_is_named() -> None:
    environ = {f"SLUICE_GATEWAY_{key.upper()}": str(value) for key, value in GOOD.items()}
    with pytest.raises(SpecError, match="listeners"):
        GatewaySpec.load(None, environ | {"SLUICE_GATEWAY_LISTENERS": "quic://0.0.0.0:8443"})


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    assert GatewaySpec.load(written(tmp_path), {"SLUICE_GATEWAY_REGION": "eu"}).region == "eu"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"region": "US!"}, "region"),
        ({"colour": 1}, "colour"),
        ({"listeners": []}, "listeners"),
        ({"threads": -1}, "threads"),
    ],
)
def test_bad_value_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        GatewaySpec.load(written(tmp_path, **changes), {})


def test_unknown_variable_is_named() -> None:
    with pytest.raises(SpecError, match="SLUICE_GATEWAY_COLOUR"):
        GatewaySpec.load(None, {"SLUICE_GATEWAY_COLOUR": "1"})


def test_what_env_files_tell_people_is_passed_over(tmp_path: Path) -> None:
    published = {
        "SLUICE_GATEWAY_US": "http://127.0.0.1:8000",
        "SLUICE_GATEWAY_EU": "http://127.0.0.1:8100",
        "SLUICE_GATEWAY_AP_SOUTH_1": "http://127.0.0.1:8200",
        "SLUICE_GATEWAY_DOMAIN": "gateways.localhost",
        "SLUICE_PAT": "kpat_x",
    }
    assert GatewaySpec.load(written(tmp_path), published) == GatewaySpec.load(written(tmp_path), {})


@pytest.mark.parametrize("field", ["limits", "dns"])
def test_structures_are_json(tmp_path: Path, field: str) -> None:
    path = written(tmp_path)
    variable = f"SLUICE_GATEWAY_{field.upper()}"
    spec = GatewaySpec.load(path, {variable: '{"a": 1}'})
    assert json.loads(spec.engine_options("1"))[field] == {"a": 1}
    for text in ("{secret", "[1]"):
        with pytest.raises(SpecError, match=rf"{field}|{variable}") as caught:
            GatewaySpec.load(path, {variable: text})
        assert "secret" not in str(caught.value)


def test_certificate_needs_its_key(tmp_path: Path) -> None:
    spec = GatewaySpec.load(written(tmp_path, certificate_file="a.crt"), {})
    with pytest.raises(SpecError, match="certificate_key_file"):
        spec.engine_options("1")


def test_addresses_split() -> None:
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split_address("[::1]:8080") == ("::1", 8080)

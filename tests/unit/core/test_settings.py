"""Reading settings, and refusing them."""

import os
from pathlib import Path

import pytest

from core.crypto import new_master_key
from core.errors import SettingsError
from core.settings import load_settings


def test_defaults() -> None:
    settings = load_settings({})

    assert [(r.name, r.http_port, r.https_port) for r in settings.regions] == [("us", 8000, 8443), ("eu", 8100, 8543)]
    assert settings.state_dir == Path(".sluice")
    assert settings.gateway_domain == "gateways.localhost"
    assert settings.driver == "process"
    assert settings.database_url is None


def test_values() -> None:
    settings = load_settings(
        {
            "SLUICE_DATABASE_URL": "postgresql://u:p@h/d",
            "SLUICE_UPSTREAM_ALLOW": "127.0.0.0/8, ::1/128",
            "SLUICE_API_TLS_NAMES": "global.api.konghq.test,us.api.konghq.test",
            "SLUICE_REGIONS": '[{"name":"us","http_port":80,"https_port":443,"status_port":9000,"public_http_port":8000}]',
            "HOME": "ignored",
        }
    )

    assert settings.require_database_url() == "postgresql://u:p@h/d"
    assert settings.upstream_allow == ("127.0.0.0/8", "::1/128")
    assert settings.api_tls_names == ("global.api.konghq.test", "us.api.konghq.test")
    assert settings.regions[0].client_http_port == 8000
    assert settings.regions[0].client_https_port == 443


def test_offset_shifts_every_port() -> None:
    settings = load_settings({"SLUICE_PORT_OFFSET": "1000"})

    assert settings.api_listen_port == 9080
    assert settings.api_listen_tls_port == 9081
    region = settings.region("eu")
    assert region is not None
    assert (region.http_port, region.https_port) == (9100, 9543)
    assert region.status_port == settings.regions[1].status_port + 1000
    assert settings.region("mars") is None


def test_what_we_publish_ourselves_is_no_setting_and_no_error() -> None:
    load_settings(
        {
            "SLUICE_API": "http://x",
            "SLUICE_PAT": "kpat_x",
            "SLUICE_GATEWAY_US": "x",
            "SLUICE_GATEWAY_EU_WEST_1": "x",
            "SLUICE_ADMIN_PASSWORD": "x",
        }
    )


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"SLUICE_DATABSE_URL": "x"}, "SLUICE_DATABSE_URL"),
        ({"SLUICE_PORT_OFFSET": "many"}, "SLUICE_PORT_OFFSET"),
        ({"SLUICE_PORT_OFFSET": "-1"}, "SLUICE_PORT_OFFSET"),
        ({"SLUICE_API_PORT": "70000"}, "SLUICE_API_PORT"),
        ({"SLUICE_MASTER_KEY": "hunter2"}, "SLUICE_MASTER_KEY"),
        ({"SLUICE_MASTER_KEY": "aHVudGVyMg=="}, "SLUICE_MASTER_KEY"),
        ({"SLUICE_DRIVER": "magic"}, "SLUICE_DRIVER"),
        ({"SLUICE_UPSTREAM_ALLOW": "10.0.0.0/8,everything"}, "SLUICE_UPSTREAM_ALLOW"),
        ({"SLUICE_UPSTREAM_ALLOW": "fe80::1%1"}, "SLUICE_UPSTREAM_ALLOW"),
        ({"SLUICE_TRUSTED_IPS": "10.0.0.0/8,balancer"}, "SLUICE_TRUSTED_IPS"),
        ({"SLUICE_REAL_IP_HEADER": "X Real"}, "SLUICE_REAL_IP_HEADER"),
        ({"SLUICE_REGIONS": "[{"}, "SLUICE_REGIONS"),
        ({"SLUICE_REGIONS": "[]"}, "SLUICE_REGIONS"),
        ({"SLUICE_REGIONS": '[{"name":"us"}]'}, "SLUICE_REGIONS__0__HTTP_PORT"),
        ({"SLUICE_LOG_LEVEL": "loud"}, "SLUICE_LOG_LEVEL"),
    ],
)
def test_refuses_in_one_line_with_the_name(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ)

    assert raised.value.name == name
    assert str(raised.value).startswith(f"setting {name}: ")
    assert "\n" not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_two_regions_of_one_name() -> None:
    region = '{"name":"us","http_port":1,"https_port":2,"status_port":3}'

    with pytest.raises(SettingsError, match="same name"):
        load_settings({"SLUICE_REGIONS": f"[{region},{region}]"})


@pytest.mark.parametrize("name", ["database_url", "broker_url", "master_key"])
def test_what_is_needed_and_missing(name: str) -> None:
    with pytest.raises(SettingsError, match=f"SLUICE_{name.upper()}: is needed"):
        getattr(load_settings({}), f"require_{name}")()


def test_secrets_do_not_show() -> None:
    key = new_master_key()
    settings = load_settings({"SLUICE_MASTER_KEY": key, "SLUICE_DATABASE_URL": "postgresql://u:hunter2@h/d"})

    assert key not in repr(settings)
    assert "hunter2" not in repr(settings)
    assert len(settings.require_master_key()) == 32


def test_environment_is_read_on_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLUICE_PORT_OFFSET", "7")

    assert load_settings().port_offset == 7


def test_with_changes_validates() -> None:
    settings = load_settings({"SLUICE_PORT_OFFSET": "7"}).with_changes(database_url="postgresql://x/y")

    assert settings.port_offset == 7
    assert settings.require_database_url() == "postgresql://x/y"

"""The READY block."""

from pathlib import Path

from cli.up.ready import ready_block
from cli.up.state import StateDir
from core.settings import load_settings

PUBLISHED = {
    "SLUICE_API": "http://127.0.0.1:8080",
    "SLUICE_CONSOLE": "http://127.0.0.1:8080/",
    "SLUICE_PAT": "kpat_abc",
    "SLUICE_ADMIN_EMAIL": "admin@example.test",
    "SLUICE_ADMIN_PASSWORD": "pa55",
}


def block(*, new_credentials: bool, published: dict[str, str] = PUBLISHED, **environ: str) -> str:
    state = StateDir(Path("/srv/my checkout/.sluice"))
    return ready_block(load_settings(environ), state, published, 3.21, new_credentials=new_credentials)


def test_it_says_where_everything_is() -> None:
    text = block(new_credentials=False)
    assert "READY in 3.2 s" in text
    for part in ("http://127.0.0.1:8080", "https://localhost:8081", "kpat_abc", "{prefix}.us.gateways.localhost:8000"):
        assert part in text
    assert "{prefix}.eu.gateways.localhost:8543" in text
    assert ". '/srv/my checkout/.sluice/env'" in text


def test_the_password_is_shown_when_it_is_new_only() -> None:
    assert "pa55" in block(new_credentials=True)
    assert "pa55" not in block(new_credentials=False)


def test_the_tour_follows_the_offset() -> None:
    text = block(new_credentials=False, SLUICE_PORT_OFFSET="1000")
    assert "--port 10090" in text
    assert "http://$HOST:9000/demo" in text


def test_an_external_database_may_know_tokens_that_we_do_not() -> None:
    published = {name: value for name, value in PUBLISHED.items() if name != "SLUICE_PAT"}
    assert "sluice bootstrap --renew" in block(new_credentials=False, published=published)

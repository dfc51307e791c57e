from __future__ import annotations

import pytest

from tests.conformance.case import CaseError
from tests.conformance.placeholders import backends_in, substitute

pytestmark = pytest.mark.unit

ADDRESSES = {
    "$upstream": ("127.0.0.1", 1001),
    "$upstream2": ("127.0.0.1", 1002),
    "$upstream_tls": ("127.0.0.1", 1003),
    "$upstream_down": ("127.0.0.1", 1004),
    "$receiver": ("127.0.0.1", 1005),
    "$receiver_udp": ("127.0.0.1", 1006),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$upstream", "http://127.0.0.1:1001"),
        ("$upstream/base", "http://127.0.0.1:1001/base"),
        ("$upstream2/base", "http://127.0.0.1:1002/base"),
        ("$upstream_tls", "https://127.0.0.1:1003"),
        ("$upstream_tls_ca", "PEM"),
        ("$upstream_down", "http://127.0.0.1:1004"),
        ("$upstream_host", "127.0.0.1"),
        ("$upstream_host:$upstream_port", "127.0.0.1:1001"),
        ("$upstream_port", 1001),
        ("$upstream_port2", 1002),
        ("$upstream2_port", 1002),
        ("$upstream_down_port", 1004),
        ("$upstream_tls_host", "127.0.0.1"),
        ("$receiver/logs", "http://127.0.0.1:1005/logs"),
        ("$receiver_host", "127.0.0.1"),
        ("$receiver_udp", "udp://127.0.0.1:1006"),
        ("$receiver_udp_port", 1006),
        ("$(headers.x)", "$(headers.x)"),
        (r"^\d+$", r"^\d+$"),
    ],
)
def test_substitution(text: str, value: object) -> None:
    assert substitute({"a": [text]}, ADDRESSES, "PEM") == {"a": [value]}


def test_backends_are_found_anywhere() -> None:
    document = {
        "config": {"services": [{"url": "$upstream/x", "port": "$upstream_port3"}]},
        "steps": ["$upstream_silent"],
    }

    assert backends_in(document) == {"$upstream", "$upstream3", "$upstream_silent"}
    assert backends_in({"ca": "$upstream_tls_ca"}) == {"$upstream_tls"}


@pytest.mark.parametrize(
    "word", ["$upstream1", "$upstreamx", "$upstream_up", "$upstream2_port3", "$upstream_tls_ca_port", "$receiver2"]
)
def test_an_unknown_placeholder_is_an_error(word: str) -> None:
    with pytest.raises(CaseError, match="unknown placeholder"):
        backends_in({"url": word})

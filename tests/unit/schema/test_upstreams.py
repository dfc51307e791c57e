"""Upstreams and targets: shorthands, rules across fields, ranges, and the one form of a target."""

import pytest

from schema.errors import SchemaViolation
from schema.registry import registry


def upstream(**fields):
    return registry().parse(registry().entities["upstreams"], {"name": "u", **fields})


def refusal(**fields):
    with pytest.raises(SchemaViolation) as raised:
        upstream(**fields)
    return {violation.field: violation.message for violation in raised.value.violations}


def target(text, **fields):
    document = {"target": text, "upstream": {"id": "0c0ffee0-0000-4000-8000-000000000001"}, **fields}
    return registry().parse(registry().entities["targets"], document)["target"]


def test_defaults_are_complete():
    made = upstream()
    assert (made["algorithm"], made["hash_on"], made["hash_fallback"], made["slots"]) == (
        "round-robin", "none", "none", 10_000,
    )  # fmt: skip
    assert made["hash_on_cookie_path"] == made["sticky_sessions_cookie_path"] == "/"
    checks = made["healthchecks"]
    assert checks["threshold"] == 0
    assert checks["active"] == {
        "type": "http", "timeout": 1, "concurrency": 10, "http_path": "/", "https_sni": None,
        "https_verify_certificate": True, "headers": None,
        "healthy": {"interval": 0, "http_statuses": [200, 302], "successes": 0},
        "unhealthy": {
            "interval": 0, "http_statuses": [429, 404, 500, 501, 502, 503, 504, 505],
            "tcp_failures": 0, "timeouts": 0, "http_failures": 0,
        },
    }  # fmt: skip
    assert type(checks["active"]["timeout"]) is int
    assert checks["passive"]["healthy"]["http_statuses"] == [*range(200, 209), 226, *range(300, 309)]
    assert checks["passive"]["unhealthy"]["http_statuses"] == [429, 500, 503]


@pytest.mark.parametrize(
    ("given", "algorithm", "hash_on"),
    [
        ({"hash_on": "ip"}, "consistent-hashing", "ip"),
        ({"hash_on": "ip", "algorithm": "round-robin"}, "consistent-hashing", "ip"),
        ({"hash_on": "none", "algorithm": "consistent-hashing"}, "round-robin", "none"),
        ({"algorithm": "consistent-hashing"}, "consistent-hashing", "none"),
        ({"algorithm": "least-connections", "hash_on": "ip"}, "least-connections", "none"),
        ({"algorithm": "latency", "hash_on": "none"}, "latency", "none"),
        ({"algorithm": "sticky-sessions", "hash_on": "none", "sticky_sessions_cookie": "c"}, "sticky-sessions", "none"),
        ({"algorithm": None, "hash_on": None}, "round-robin", "none"),
    ],
)
def test_shorthands(given, algorithm, hash_on):
    made = upstream(**given)
    assert (made["algorithm"], made["hash_on"]) == (algorithm, hash_on)


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"hash_on": "header"}, "hash_on_header", "required field missing"),
        ({"hash_on": "ip", "hash_fallback": "header"}, "hash_fallback_header", "required field missing"),
        ({"hash_on": "cookie"}, "hash_on_cookie", "required field missing"),
        ({"hash_on": "ip", "hash_fallback": "cookie"}, "hash_on_cookie", "required field missing"),
        ({"hash_on": "query_arg"}, "hash_on_query_arg", "required field missing"),
        ({"hash_on": "uri_capture"}, "hash_on_uri_capture", "required field missing"),
        ({"hash_fallback": "ip"}, "hash_fallback", "expected one of: none"),
        ({"hash_on": "cookie", "hash_on_cookie": "c", "hash_fallback": "ip"}, "hash_fallback", "expected one of: none"),
        ({"hash_on": "ip", "hash_fallback": "ip"}, "hash_fallback", "expected one of: none, consumer, header"),
        (
            {"hash_on": "header", "hash_on_header": "a", "hash_fallback": "header", "hash_fallback_header": "a"},
            "",
            "values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'",
        ),
        ({"algorithm": "sticky-sessions"}, "sticky_sessions_cookie", "required field missing"),
        ({"slots": 9}, "slots", "value should be between 10 and 65536"),
        ({"name": "10.0.0.1"}, "name", "Invalid name ('10.0.0.1'); no ip addresses allowed"),
        ({"name": "[::1]:80"}, "name", "Invalid name ('[::1]:80'); no ip addresses allowed"),
        ({"name": "a:80"}, "name", "Invalid name ('a:80'); no port allowed"),
        ({"name": "a b"}, "name", "Invalid name ('a b'); must be a valid hostname"),
        ({"host_header": "a b"}, "host_header", "invalid value: a b"),
        ({"hash_on": "cookie", "hash_on_cookie": "a;b"}, "hash_on_cookie", "bad cookie name 'a;b'"),
        ({"healthchecks": {"threshold": 101}}, "healthchecks.threshold", "value should be between 0 and 100"),
        (
            {"healthchecks": {"active": {"healthy": {"successes": 256}}}},
            "healthchecks.active.healthy.successes",
            "value should be between 0 and 255",
        ),
        (
            {"healthchecks": {"passive": {"unhealthy": {"http_statuses": [99]}}}},
            "healthchecks.passive.unhealthy.http_statuses[0]",
            "value should be between 100 and 999",
        ),
        ({"healthchecks": {"active": {"timeout": float("nan")}}}, "healthchecks.active.timeout", "value should be"),
    ],
)
def test_what_is_refused(given, field, message):
    assert refusal(**given)[field].startswith(message)


def test_a_patch_of_the_health_checks_keeps_the_other_half():
    entity = registry().entities["upstreams"]
    stored = upstream(healthchecks={"active": {"timeout": 2.5}, "threshold": 40.0})
    changed = registry().patch(entity, stored, {"healthchecks": {"passive": {"type": "tcp"}}})
    assert (changed["healthchecks"]["active"]["timeout"], changed["healthchecks"]["threshold"]) == (2.5, 40)
    assert changed["healthchecks"]["passive"]["type"] == "tcp"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("a.test", "a.test:8000"),
        ("A.test:80", "A.test:80"),
        ("10.0.0.1", "10.0.0.1:8000"),
        ("010.000.000.001:81", "10.0.0.1:81"),
        ("::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"),
        ("[::1]:82", "[0000:0000:0000:0000:0000:0000:0000:0001]:82"),
    ],
)
def test_targets_have_one_form(given, normal):
    assert target(given) == target(normal) == normal


@pytest.mark.parametrize("given", ["", "a b", "a:99999", "http://a", "[::1", "a:80:80", "fe80::1%eth0", "x" * 300])
def test_targets_that_are_none(given):
    with pytest.raises(SchemaViolation):
        target(given)

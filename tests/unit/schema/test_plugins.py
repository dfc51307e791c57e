"""What declarations of plugins have in common: aliases, vault references, values made up, and what gateways cannot do."""

from uuid import UUID

import pytest

from schema.base import NO_CONSUMER, gateway_faults
from schema.declarative import load
from schema.errors import SchemaViolation
from schema.marks import is_reference
from schema.plugins.basic_auth import BasicAuth
from schema.plugins.jwt import Jwt
from schema.plugins.rate_limiting import RateLimiting
from schema.registry import registry
from schema.walk import values_at

PLUGIN = registry().entities["plugins"]
NOT_HERE = "plugin '{}' is not available on this gateway yet: only control planes of nodes of your own take it"


def complete(name, config, **fields):
    return registry().parse(PLUGIN, {"name": name, "config": config, **fields})["config"]


def broken(name, config, **fields):
    with pytest.raises(SchemaViolation) as caught:
        registry().parse(PLUGIN, {"name": name, "config": config, **fields})
    return {(violation.field, violation.message) for violation in caught.value.violations}


def patched(name, stored, change):
    document = registry().parse(PLUGIN, {"name": name, "config": stored})
    return registry().patch(PLUGIN, document, {"config": change})["config"]


def faults(name, config):
    document = registry().parse(PLUGIN, {"name": name, "config": config})
    return {(found.field, found.message) for found in PLUGIN.gateway_faults(document, registry())}


class TestAliases:
    def test_an_old_name_becomes_the_new_one(self):
        config = complete("rate-limiting", {"minute": 1, "policy": "redis", "redis_host": "r.test", "redis_port": 7000})
        assert (config["redis"]["host"], config["redis"]["port"]) == ("r.test", 7000)
        assert "redis_host" not in config

    def test_both_may_be_given_if_they_agree(self):
        both = {"minute": 1, "redis_host": "r.test", "redis": {"host": "r.test"}}
        assert complete("rate-limiting", both)["redis"]["host"] == "r.test"
        message = "both deprecated and new field are used but their values mismatch: redis_host = a.test vs redis.host = b.test"
        conflict = {"minute": 1, "redis_host": "a.test", "redis": {"host": "b.test"}}
        assert broken("rate-limiting", conflict) == {("config", message)}

    def test_conflicting_secrets_are_not_told(self):
        conflict = {"minute": 1, "redis_password": "hunter2", "redis": {"password": "hunter3"}}
        ((field, message),) = broken("rate-limiting", conflict)
        assert field == "config"
        assert "redis_password = *** vs redis.password = ***" in message

    def test_null_means_not_given(self):
        config = complete("rate-limiting", {"minute": 1, "redis_host": None, "redis": {"host": "b.test"}})
        assert config["redis"]["host"] == "b.test"

    def test_what_is_wrong_is_told_of_the_new_name(self):
        assert broken("rate-limiting", {"minute": 1, "redis_port": "x"}) == {
            ("config.redis.port", "expected an integer")
        }
        assert broken("rate-limiting", {"minute": 1, "redis_host": "x", "redis": 5}) == {
            ("config.redis", "expected a record")
        }

    def test_a_patch_by_the_old_name_wins_over_what_is_stored(self):
        stored = {"minute": 1, "redis": {"host": "a.test", "port": 7000}}
        redis = patched("rate-limiting", stored, {"redis_host": "b.test"})["redis"]
        assert (redis["host"], redis["port"]) == ("b.test", 7000)
        assert patched("rate-limiting", stored, {"redis_host": None})["redis"]["host"] is None
        assert patched("rate-limiting", {"minute": 1}, {"redis_host": None, "redis": None})["redis"] is None

    def test_a_patch_that_contradicts_itself_is_refused(self):
        with pytest.raises(SchemaViolation, match="values mismatch"):
            patched("rate-limiting", {"minute": 1}, {"redis_host": "a.test", "redis": {"host": "b.test"}})

    def test_old_names_are_shown_on_reading(self):
        document = registry().parse(PLUGIN, {"name": "rate-limiting", "config": {"minute": 1, "redis_host": "r.test"}})
        shown = PLUGIN.presented(document, registry())["config"]
        assert (shown["redis_host"], shown["redis_port"], shown["redis_password"]) == ("r.test", 6379, None)
        assert complete("rate-limiting", shown) == document["config"]

    def test_aliases_of_inner_records(self):
        config = complete("acme", {"account_email": "a@b.test", "storage_config": {"redis": {"auth": "hunter2"}}})
        assert config["storage_config"]["redis"]["password"] == "hunter2"
        document = registry().parse(PLUGIN, {"name": "acme", "config": config})
        assert PLUGIN.presented(document, registry())["config"]["storage_config"]["redis"]["auth"] == "hunter2"

    def test_a_shorthand_wins_and_is_not_shown(self):
        config = complete("session", {"cookie_samesite": "off", "cookie_same_site": "None", "cookie_lifetime": 60})
        assert (config["cookie_same_site"], config["rolling_timeout"]) == ("Lax", 60)
        document = registry().parse(PLUGIN, {"name": "session", "config": config})
        assert PLUGIN.presented(document, registry()) == document

    def test_rules_across_fields_see_through_aliases(self):
        wrong = broken("rate-limiting", {"minute": 0, "policy": "redis", "redis_host": "r.test"})
        assert wrong == {("config.minute", "value must be greater than 0")}


class TestReferences:
    @pytest.mark.parametrize("text", ["{vault://env/a}", "{vault://my-v/a/b/?ttl=1#2}", "{vault://aws/a%2Fb/c}"])
    def test_good_ones(self, text):
        assert is_reference(text)

    @pytest.mark.parametrize(
        "text",
        ["", "env/a", "{vault://env}", "{vault://env/}", "{vault:///a}", "x{vault://env/a}", "{vault://e/{a}}", 5],
    )
    def test_bad_ones(self, text):
        assert not is_reference(text)

    def test_they_stand_for_values_of_any_type(self):
        redis = {"host": "{vault://env/host}", "port": "{vault://env/port}", "password": "{vault://env/p}"}
        config = complete("rate-limiting", {"minute": 1, "policy": "redis", "redis": redis})
        assert {name: config["redis"][name] for name in redis} == redis
        assert complete("rate-limiting", config) == config

    def test_only_where_they_are_read(self):
        assert broken("rate-limiting", {"minute": 1, "redis": {"database": "{vault://env/a}"}}) == {
            ("config.redis.database", "expected an integer")
        }

    def test_own_gateways_do_not_read_them_yet(self):
        message = "vault references are not available on this gateway yet"
        assert faults("rate-limiting", {"minute": 1, "redis": {"password": "{vault://env/p}"}}) == {
            ("config.redis.password", message)
        }


class TestGateways:
    @pytest.mark.parametrize("name", [name for name, one in registry().plugins.items() if one.spec.since is None])
    def test_a_plugin_that_does_not_run_is_refused_with_the_reason(self, name):
        document = {"name": name, "config": {}}
        assert [found.message for found in PLUGIN.gateway_faults(document, registry())] == [NOT_HERE.format(name)]

    @pytest.mark.parametrize(
        ("name", "config", "field"),
        [
            ("rate-limiting", {"minute": 1, "redis": {"port": 0}}, "config.redis.port"),
            ("rate-limiting", {"minute": 1, "redis": {"server_name": "*.r.test"}}, "config.redis.server_name"),
            (
                "rate-limiting",
                {"minute": 1, "redis": {"cloud_authentication": {"auth_provider": "aws"}}},
                "config.redis.cloud_authentication.auth_provider",
            ),
            ("response-ratelimiting", {"limits": {"a": {"day": 1}}, "policy": "cluster"}, "config.policy"),
            ("rate-limiting", {"minute": 1, "policy": "cluster"}, "config.policy"),
            ("rate-limiting", {"minute": 1, "error_code": 700}, "config.error_code"),
            ("rate-limiting", {"minute": 1, "error_code": 429.5}, "config.error_code"),
            ("request-termination", {"status_code": 101}, "config.status_code"),
            (
                "basic-auth",
                {"brute_force_protection": {"strategy": "memory"}},
                "config.brute_force_protection.strategy",
            ),
            ("basic-auth", {"principals": {"enabled": True}}, "config.principals.enabled"),
            (
                "http-log",
                {"http_endpoint": "http://a.test", "custom_fields_by_lua": {"a": "return 1"}},
                "config.custom_fields_by_lua",
            ),
            (
                "http-log",
                {"http_endpoint": "http://a.test", "client_certificate": {"id": str(UUID(int=1))}},
                "config.client_certificate",
            ),
            ("http-log", {"http_endpoint": "http://a.test", "headers": {"x-a": "a\nb"}}, "config.headers.x-a"),
            ("http-log", {"http_endpoint": "http://a.test", "queue": {"max_bytes": 0}}, "config.queue.max_bytes"),
            ("tcp-log", {"host": "a.test", "port": 0}, "config.port"),
            ("tcp-log", {"host": "a.test", "port": 1, "tls_sni": "a b"}, "config.tls_sni"),
            ("udp-log", {"host": "a.test", "port": 0}, "config.port"),
            ("loggly", {"key": "k", "port": 0}, "config.port"),
            ("datadog", {"port": 0}, "config.port"),
            ("statsd", {"port": 0}, "config.port"),
            ("ldap-auth", {"ldap_host": "a", "base_dn": "b", "attribute": "c", "ldap_port": 0}, "config.ldap_port"),
            ("session", {"storage": "kong"}, "config.storage"),
            ("session", {"hash_subject": True}, "config.hash_subject"),
            ("session", {"cookie_path": "/;x"}, "config.cookie_path"),
            ("statsd", {"hostname_in_prefix": True}, "config.hostname_in_prefix"),
            ("zipkin", {"http_endpoint": "http://a.test:0"}, "config.http_endpoint"),
            ("opentelemetry", {"logs_endpoint": "http://a.test"}, "config.logs_endpoint"),
            ("opentelemetry", {"metrics": {"endpoint": "http://a.test"}}, "config.metrics.endpoint"),
            (
                "opentelemetry",
                {"traces_endpoint": "http://a.test", "resource_attributes": {"a": "$(headers.host)"}},
                "config.resource_attributes",
            ),
            ("file-log", {"path": "/dev/stdout"}, "config.path"),
            ("prometheus", {"ai_metrics": True}, "config.ai_metrics"),
            ("key-auth", {"identity_realms": [{"scope": "cp"}, {"scope": "realm"}]}, "config.identity_realms[1].scope"),
        ],
    )
    def test_values_that_nodes_of_ones_own_may_have(self, name, config, field):
        assert complete(name, config)
        assert {place for place, _ in faults(name, config)} == {field}

    def test_a_file_for_a_gateway_is_held_to_it(self):
        (error,) = load({"plugins": [{"name": "pre-function", "config": {"access": ["return 1"]}}]}).errors
        assert (error.entity, error.field, error.message) == ("plugin", "name", NOT_HERE.format("pre-function"))

    def test_defaults_ask_for_nothing_that_is_not_there(self):
        for name, config in (("key-auth", {}), ("basic-auth", {}), ("request-termination", {})):
            assert faults(name, config) == set()
        assert gateway_faults(RateLimiting, complete("rate-limiting", {"minute": 1})) == []


class TestCompletion:
    def test_a_value_is_made_up_where_none_is_given(self):
        one, other = (complete("oauth2", {"enable_implicit_grant": True})["provision_key"] for _ in range(2))
        assert len(one) == 32
        assert one != other
        assert complete("oauth2", {"enable_implicit_grant": True, "provision_key": "mine"})["provision_key"] == "mine"
        assert (
            patched("oauth2", {"enable_implicit_grant": True, "provision_key": "mine"}, {"realm": "r"})["provision_key"]
            == "mine"
        )

    def test_optional_records_stay_null_and_required_ones_are_filled(self):
        config = complete("acme", {"account_email": "a@b.test"})
        assert (config["account_key"], config["storage_config"]) == (None, None)
        stated = complete("acme", {"account_email": "a@b.test", "storage_config": {"consul": {}}})["storage_config"]
        assert (stated["consul"]["https"], stated["redis"]) == (False, None)
        assert complete("http-log", {"http_endpoint": "http://a.test"})["queue"] is None
        assert complete("datadog", {})["queue"]["max_retry_time"] == 60
        assert complete("rate-limiting", {"minute": 1})["redis"] is None
        assert (
            complete("rate-limiting", {"minute": 1, "redis": {"cloud_authentication": {}}})["redis"][
                "cloud_authentication"
            ]["aws_is_serverless"]
            is True
        )

    def test_items_of_lists_are_completed(self):
        (metric,) = complete("datadog", {"metrics": [{"name": "latency", "stat_type": "timer"}]})["metrics"]
        assert metric == {
            "name": "latency",
            "stat_type": "timer",
            "tags": None,
            "sample_rate": None,
            "consumer_identifier": None,
        }

    def test_unset_lists_are_null_unless_the_default_says_otherwise(self):
        assert complete("cors", {})["origins"] is None
        assert complete("jwt", {})["cookie_names"] == []
        assert complete("jwt", {})["claims_to_verify"] is None


@pytest.mark.parametrize(
    ("name", "config", "wrong"),
    [
        ("acl", {}, {("config", "at least one of these fields must be non-empty: 'allow', 'deny'"),
                     ("config", "exactly one of these fields must be non-empty: 'allow', 'deny'")}),
        ("acl", {"allow": ["a"], "deny": ["b"]}, {("config", "exactly one of these fields must be non-empty: 'allow', 'deny'")}),
        (
            "jwt",
            {"maximum_expiration": 60},
            {
                ("config.claims_to_verify", "expected to contain: exp"),
                ("config", "failed conditional validation given value of field 'maximum_expiration'"),
            },
        ),
        ("ldap-auth", {"ldap_host": "l", "base_dn": "d", "attribute": "a", "ldaps": True, "start_tls": True},
         {("config", "'ldaps' and 'start_tls' cannot be enabled simultaneously")}),
        ("oauth2", {}, {("config", ("at least one of these fields must be true: enable_authorization_code, "
                         "enable_implicit_grant, enable_client_credentials, enable_password_grant"))}),
        ("oauth2", {"enable_implicit_grant": True, "mandatory_scope": True},
         {("config.scopes", "required field missing"),
          ("config", "failed conditional validation given value of field 'mandatory_scope'")}),
        ("rate-limiting", {"minute": 1, "sync_rate": 1}, {("config", "sync_rate can only be used with the redis policy")}),
        ("rate-limiting", {"minute": 1, "sync_rate": 0.01, "policy": "redis", "redis": {"host": "r"}},
         {("config", "sync_rate must be greater than 0.02, or -1 to disable")}),
        ("response-ratelimiting", {"limits": {"video": {"minute": 2, "hour": 1}}},
         {("config.limits.video", "the limit for hour(1.0) cannot be lower than the limit for minute(2.0)")}),
        ("response-ratelimiting", {"limits": {}}, {("config.limits", "length must be at least 1")}),
        ("http-log", {"http_endpoint": "http://l.test", "headers": {"hOsT": "x"}},
         {("config.headers.hOsT", "cannot contain 'Host' header")}),
        ("http-log", {"http_endpoint": "http://u:p@l.test", "headers": {"authorization": "x"}},
         {("config", "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed")}),
        ("file-log", {"path": " /tmp/a"}, {("config.path", "not a valid filename")}),
        ("statsd", {"metrics": [{"name": "latency", "stat_type": "gauge"}]},
         {("config.metrics[0].sample_rate", "required field missing"),
          ("config.metrics[0]", "failed conditional validation given value of field 'stat_type'")}),
        ("statsd", {"allow_status_codes": ["200"]}, {("config.allow_status_codes[0]", "invalid value: 200")}),
        ("zipkin", {"static_tags": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]},
         {("config.static_tags", "repeated tags are not allowed: a")}),
        ("opentelemetry", {}, {("config", ("at least one of these fields must be non-empty: 'traces_endpoint', "
                                "'logs_endpoint', 'metrics.endpoint', 'access_logs.endpoint'"))}),
        ("aws-lambda", {"aws_key": "k", "proxy_url": "https://p.test"},
         {("config", "all or none of these fields must be set: 'aws_key', 'aws_secret'"),
          ("config", "proxy_url scheme must be http")}),
        ("pre-function", {}, {("config", ("at least one of these fields must be non-empty: 'certificate', 'rewrite', "
                               "'access', 'header_filter', 'body_filter', 'log', 'ws_handshake', 'ws_client_frame', "
                               "'ws_upstream_frame', 'ws_close'"))}),
        ("proxy-cache", {}, {("config.strategy", "required field missing")}),
    ],
)  # fmt: skip
def test_rules_across_fields(name, config, wrong):
    assert broken(name, config) == wrong


def test_scopes_of_authentication():
    assert Jwt.spec.scopes == BasicAuth.spec.scopes == NO_CONSUMER
    wrong = broken("acme", {"account_email": "a@b.test"}, service={"id": "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"})
    assert wrong == {("service", "value must be null")}


def test_places_of_values():
    document = {"a": [{"b": 1}, {"b": None}, {}], "m": {"x": {"b": 2}}, "n": None}
    assert list(values_at(document, ("a", "*", "b"))) == [("a[0].b", 1)]
    assert list(values_at(document, ("m", "*", "b"))) == [("m.x.b", 2)]
    assert list(values_at(document, ("n", "b"))) == []

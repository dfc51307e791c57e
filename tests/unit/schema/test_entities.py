"""Fields, defaults, nulls and cross-field rules of the core entities."""

import pytest

from schema.entities.route import MAX_REGEXES
from schema.errors import SchemaViolation
from schema.registry import registry

LOOK_AROUND = "look-around, including look-ahead and look-behind, is not supported"
ID = "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"


def parse(plural, document):
    declarations = registry()
    return declarations.parse(declarations.entities[plural], document)


def broken(plural, document):
    with pytest.raises(SchemaViolation) as caught:
        parse(plural, document)
    return {(violation.field, violation.message) for violation in caught.value.violations}


class TestService:
    def test_defaults_are_filled_and_unset_is_null(self):
        service = parse("services", {"host": "example.test"})
        assert (service["protocol"], service["port"], service["retries"], service["enabled"]) == ("http", 80, 5, True)
        assert {service[f"{kind}_timeout"] for kind in ("connect", "read", "write")} == {60_000}
        unset = [
            "name",
            "path",
            "ca_certificates",
            "client_certificate",
            "tls_verify",
            "tls_verify_depth",
            "tls_sans",
            "tags",
        ]
        assert all(service[name] is None for name in unset)
        assert "url" not in service

    def test_explicit_nulls_mean_unset(self):
        given = dict.fromkeys(["name", "protocol", "port", "retries", "path", "tags", "enabled", "tls_sans", "url"])
        assert parse("services", {"host": "h", **given}) == parse("services", {"host": "h"})

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://a.test", ("http", "a.test", 80, None)),
            ("https://a.test/x/y?q=1#f", ("https", "a.test", 443, "/x/y")),
            ("http://A.Test:8080/", ("http", "A.Test", 8080, "/")),
            ("grpc://a.test", ("grpc", "a.test", 80, None)),
            ("a.test:443/p", ("https", "a.test", 443, "/p")),
            ("a.test:81", ("http", "a.test", 81, None)),
            ("http://[::1]:9000", ("http", "[::1]", 9000, None)),
        ],
    )
    def test_url_sets_four_fields_and_wins(self, url, expected):
        service = parse("services", {"url": url, "host": "other", "port": 1, "path": "/other"})
        assert (service["protocol"], service["host"], service["port"], service["path"]) == expected

    @pytest.mark.parametrize("url", ["http://", "http://a:99999", "", "http://[", 5])
    def test_a_broken_url_is_named(self, url):
        assert any(field == "url" for field, _ in broken("services", {"url": url}))

    def test_every_violation_is_reported_at_once(self):
        found = broken("services", {"port": "80", "retries": 40_000, "tags": ["a,b", 1], "x": None, "path": "y"})
        assert found == {
            ("host", "required field missing"),
            ("port", "expected an integer"),
            ("retries", "value should be between 0 and 32767"),
            ("tags[0]", "invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"),
            ("tags[1]", "expected a string"),
            ("x", "unknown field"),
            ("path", "should start with: /"),
        }

    def test_path_and_tls_settings_depend_on_the_protocol(self):
        assert broken("services", {"host": "h", "protocol": "tcp", "path": "/"}) == {
            ("path", "value must be null"),
            ("", "failed conditional validation given value of field 'protocol'"),
        }
        assert ("tls_verify", "value must be null") in broken("services", {"host": "h", "tls_verify": True})
        assert parse("services", {"host": "h", "protocol": "https", "tls_verify": False})["tls_verify"] is False

    def test_websocket_services_are_as_their_http_kin(self):
        plain = parse("services", {"host": "h", "protocol": "ws", "path": "/chat"})
        assert (plain["path"], plain["port"]) == ("/chat", 80)
        assert parse("services", {"host": "h", "protocol": "wss", "tls_verify": False})["tls_verify"] is False
        assert ("tls_verify", "value must be null") in broken(
            "services", {"host": "h", "protocol": "ws", "tls_verify": True}
        )
        assert ("host", "invalid value: a.1") in broken("services", {"host": "a.1", "protocol": "wss"})

    @pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "", "x" * 513, "n\x00l"])
    def test_bad_names(self, name):
        assert any(field == "name" for field, _ in broken("services", {"host": "h", "name": name}))

    @pytest.mark.parametrize("name", ["a", "A.b-c_d~1", "孔", "🦍"])
    def test_good_names(self, name):
        assert parse("services", {"host": "h", "name": name})["name"] == name

    @pytest.mark.parametrize(
        ("host", "message"),
        [
            ("a:80", "must not have a port"),
            ("a b", "invalid value: a b"),
            ("-a.test", "invalid value: -a.test"),
            ("a-.test", "invalid value: a-.test"),
            ("", "length must be at least 1"),
        ],
    )
    def test_bad_hosts(self, host, message):
        assert ("host", message) in broken("services", {"host": host})

    def test_an_integral_float_is_an_integer_and_a_boolean_is_not(self):
        assert parse("services", {"host": "h", "port": 80.0})["port"] == 80
        assert ("port", "expected an integer") in broken("services", {"host": "h", "port": True})
        assert ("port", "expected an integer") in broken("services", {"host": "h", "port": 80.5})


class TestRoute:
    def test_defaults(self):
        route = parse("routes", {"paths": ["/"]})
        expected = {
            "protocols": ["http", "https"],
            "https_redirect_status_code": 426,
            "regex_priority": 0,
            "strip_path": True,
            "preserve_host": False,
            "path_handling": "v0",
            "request_buffering": True,
            "response_buffering": True,
        }
        assert {name: route[name] for name in expected} == expected
        assert all(route[name] is None for name in ("hosts", "methods", "headers", "snis", "sources", "service"))

    @pytest.mark.parametrize(
        ("protocols", "matchers"),
        [
            (["http"], "'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"),
            (["http", "https"], "'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"),
            (["grpc"], "'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"),
            (["ws"], "'hosts', 'headers', 'paths' when 'protocols' is 'ws'"),
            (["ws", "wss"], "'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'wss'"),
            (["tcp"], "'sources', 'destinations' when 'protocols' is 'tcp'"),
            (["tls_passthrough"], "'snis' when 'protocols' is 'tls_passthrough'"),
        ],
    )
    def test_a_matcher_is_needed(self, protocols, matchers):
        assert ("", f"must set one of {matchers}") in broken("routes", {"protocols": protocols, "hosts": []})

    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({"protocols": ["grpc"], "paths": ["/"], "strip_path": True}, "strip_path"),
            ({"protocols": ["grpc"], "paths": ["/"], "methods": ["GET"]}, "methods"),
            ({"protocols": ["http"], "paths": ["/"], "snis": ["a.test"]}, "snis"),
            ({"protocols": ["http"], "paths": ["/"], "sources": [{"port": 1}]}, "sources"),
            ({"protocols": ["tcp"], "sources": [{"port": 1}], "paths": ["/"]}, "paths"),
            ({"protocols": ["http", "tcp"], "paths": ["/"]}, "protocols"),
            ({"protocols": ["https", "wss"], "paths": ["/"]}, "protocols"),
            ({"protocols": ["ws"], "paths": ["/"], "snis": ["a.test"]}, "snis"),
            ({"protocols": ["wss"], "paths": ["/"], "destinations": [{"port": 1}]}, "destinations"),
            ({"protocols": [], "paths": ["/"]}, "protocols"),
            ({"paths": ["/"], "expression": 'http.path == "/"'}, "paths"),
            ({"paths": ["/"], "priority": 3}, "priority"),
            ({"headers": {"Host": ["a"]}}, "headers"),
            ({"headers": {"x y": ["a"]}}, "headers.x y"),
            ({"protocols": ["tcp"], "sources": [{}]}, "sources[0]"),
            ({"methods": ["get"]}, "methods[0]"),
            ({"paths": ["/"], "service": {"id": "x"}}, "service.id"),
            ({"paths": ["/"], "service": "x"}, "service"),
            ({"paths": ["/"], "service": {}}, "service"),
            ({"hosts": ["a.test", "*.*"]}, "hosts[1]"),
            ({"hosts": ["a.*.b"]}, "hosts[0]"),
            ({"hosts": ["a.test:70000"]}, "hosts[0]"),
            ({"snis": ["1.2.3.4"]}, "snis[0]"),
        ],
    )
    def test_bad_combinations_name_the_field(self, document, field):
        assert field in {name for name, _ in broken("routes", document)}

    def test_regexes_of_one_route_are_bounded(self):
        def headers(count):
            return {"x-a": [f"~*a{n}" for n in range(count - 1)], "x-b": ["~*b", "plain"]}

        assert parse("routes", {"headers": headers(MAX_REGEXES)})["headers"] == headers(MAX_REGEXES)
        message = f"more than {MAX_REGEXES} regular expressions"
        assert broken("routes", {"headers": headers(MAX_REGEXES + 1)}) == {("headers", message)}

        def expression(count):
            return " || ".join(f'http.path ~ "{n}"' for n in range(count))

        assert parse("routes", {"expression": expression(MAX_REGEXES)})["expression"] == expression(MAX_REGEXES)
        refused = ("expression", f"Router Expression failed validation: {message}")
        assert broken("routes", {"expression": expression(MAX_REGEXES + 1)}) == {refused}

    def test_grpc_routes_keep_their_path(self):
        assert parse("routes", {"protocols": ["grpc"], "paths": ["/"]})["strip_path"] is False

    @pytest.mark.parametrize("host", ["a.test", "*.a.test", "a.*", "a.test:8080", "1.2.3.4", "[::1]:80", "a_b-c.test."])
    def test_good_hosts(self, host):
        assert parse("routes", {"hosts": [host]})["hosts"] == [host]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("a", "should start with: / (fixed path) or ~/ (regex path)"),
            ("/a//b", "must not have empty segments"),
            ("/a/../b", "non-normalized path, consider use '/b' instead"),
            ("/%7Ea", "non-normalized path, consider use '/~a' instead"),
            ("/%zz", "invalid url-encoded value: '%zz'"),
            ("/a b", "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)"),
            ("~/(?=a)b", f"invalid regex: '/(?=a)b' ({LOOK_AROUND})"),
            (r"~/(a)\1", r"invalid regex: '/(a)\1' (backreferences are not supported)"),
        ],
    )
    def test_bad_paths(self, path, message):
        assert ("paths[0]", message) in broken("routes", {"paths": [path]})

    @pytest.mark.parametrize("path", ["/", "/a/", "/a%20b", r"~/u/(?<id>\d+)$", r"~/[\]\\1(?=]", r"~/(?i)x\.y"])
    def test_good_paths(self, path):
        assert parse("routes", {"paths": [path]})["paths"] == [path]

    def test_the_expression_form_needs_no_matcher(self):
        assert parse("routes", {"expression": 'http.path == "/"', "priority": 7})["priority"] == 7

    def test_sets_drop_repeats_and_keep_order(self):
        route = parse("routes", {"paths": ["/"], "methods": ["POST", "GET", "POST"], "tags": ["b", "a", "b"]})
        assert (route["methods"], route["tags"]) == (["POST", "GET"], ["b", "a"])

    def test_references_by_id_or_by_name(self):
        assert parse("routes", {"paths": ["/"], "service": {"id": ID.upper(), "name": "x"}})["service"] == {"id": ID}
        assert parse("routes", {"paths": ["/"], "service": {"name": "x"}})["service"] == {"name": "x"}


class TestConsumer:
    def test_needs_a_name_of_one_kind(self):
        message = "at least one of these fields must be non-empty: 'custom_id', 'username'"
        assert broken("consumers", {"tags": ["a"]}) == {("", message)}
        assert parse("consumers", {"custom_id": "1"})["username"] is None
        assert parse("consumers", {"username": "Jane Doe <j@x>"})["username"] == "Jane Doe <j@x>"


class TestPlugin:
    def test_config_and_protocols_come_from_the_plugin(self):
        plugin = parse("plugins", {"name": "request-transformer"})
        assert plugin["protocols"] == ["grpc", "grpcs", "http", "https"]
        assert plugin["config"]["add"] == {"headers": [], "querystring": [], "body": []}
        assert plugin["config"]["http_method"] is None
        assert plugin["enabled"] is True

    def test_unknown_plugin(self):
        message = "plugin 'nope' not enabled; add it to the 'plugins' configuration property"
        assert broken("plugins", {"name": "nope", "config": {"any": 1}}) == {("name", message)}

    def test_config_violations_are_reported_with_their_path(self):
        config = {
            "add": {"headers": ["ok:1", "novalue"], "body": ["b:"], "more": []},
            "append": {"headers": ["a b:c", "x:line\r\nbreak"]},
            "rename": {"headers": ["a:b c", "a"]},
            "remove": {"headers": ["a:ignored", "b c"]},
            "http_method": "get",
            "replace": [],
        }
        assert broken("plugins", {"name": "request-transformer", "config": config, "service": {"id": 1}}) == {
            ("config.add.headers[1]", "invalid value: novalue"),
            ("config.add.body[0]", "key 'b' has no value"),
            ("config.add.more", "unknown field"),
            ("config.append.headers[0]", "'a b' is not a valid header"),
            ("config.append.headers[1]", "the value of header 'x' must not contain control characters"),
            ("config.rename.headers[0]", "'b c' is not a valid header"),
            ("config.rename.headers[1]", "key 'a' has no value"),
            ("config.remove.headers[1]", "'b c' is not a valid header"),
            ("config.http_method", "invalid value: get"),
            ("config.replace", "expected a record"),
            ("service.id", "expected a string"),
        }

    @pytest.mark.parametrize("item", ["h:https://x:1", "h:", "h: $(headers.x)", "H:v"])
    def test_header_values_are_kept_as_written(self, item):
        config = {"add": {"headers": [item]}}
        assert parse("plugins", {"name": "request-transformer", "config": config})["config"]["add"]["headers"] == [item]

    def test_optional_fields_may_be_null(self):
        nulls = dict.fromkeys(["ordering", "partials", "condition", "consumer_group", "config", "protocols"])
        assert parse("plugins", {"name": "request-transformer", **nulls})["ordering"] is None
        assert parse("plugins", {"name": "request-transformer", **nulls})["partials"] is None

    def test_the_secret_leaves_are_known(self):
        declarations = registry()
        plugin = declarations.entities["plugins"]
        paths = declarations.sealed_paths(plugin, {"name": "request-transformer"})
        sections = {f"{section}.{part}" for _, section, part, _ in paths}
        expected = {f"{s}.{p}" for s in ("add", "append", "replace") for p in ("headers", "querystring", "body")}
        assert sections == expected

    def test_messages_never_repeat_a_secret(self):
        secret = "Authorization:Bearer hunter2\n"
        found = broken("plugins", {"name": "request-transformer", "config": {"add": {"headers": [secret]}}})
        assert found
        assert not any("hunter2" in message for _, message in found)


class TestPatch:
    def patch(self, plural, stored, change):
        declarations = registry()
        entity = declarations.entities[plural]
        return declarations.patch(entity, declarations.parse(entity, stored), change)

    def test_null_goes_back_to_the_default_and_absent_stays(self):
        stored = {"host": "h", "port": 81, "path": "/a", "tags": ["x"]}
        patched = self.patch("services", stored, {"port": None, "path": None})
        assert (patched["port"], patched["path"], patched["tags"]) == (80, None, ["x"])

    def test_records_merge_one_level_deep(self):
        stored = {"name": "request-transformer", "config": {"add": {"headers": ["a:1"]}, "http_method": "PUT"}}
        config = self.patch("plugins", stored, {"config": {"add": {"body": ["b:2"]}}})["config"]
        assert config["http_method"] == "PUT"
        assert config["add"] == {"headers": [], "querystring": [], "body": ["b:2"]}

    def test_maps_and_references_are_replaced(self):
        stored = {"headers": {"x-a": ["1"]}, "service": {"id": ID}}
        patched = self.patch("routes", stored, {"headers": {"x-b": ["2"]}, "service": {"name": "s"}})
        assert (patched["headers"], patched["service"]) == ({"x-b": ["2"]}, {"name": "s"})

    def test_url_is_expanded_in_a_patch(self):
        patched = self.patch("services", {"host": "h", "path": "/p"}, {"url": "https://other"})
        assert (patched["host"], patched["port"], patched["path"]) == ("other", 443, None)

    @pytest.mark.parametrize("change", [[], "x", None, 1])
    def test_a_change_is_an_object(self, change):
        with pytest.raises(SchemaViolation):
            self.patch("services", {"host": "h"}, change)

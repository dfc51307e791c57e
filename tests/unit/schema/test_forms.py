"""Forms become documents by the declarations."""

import pytest

from schema.entities.consumer import Consumer
from schema.entities.plugin import Plugin
from schema.entities.route import Route
from schema.entities.service import Service
from schema.entities.upstream import Upstream
from schema.forms import DEEPEST, LONGEST_NAME, MOST_ARGUMENTS, FormError, document_of
from schema.registry import registry


def read(entity, *pairs, stored=None):
    return document_of([tuple(pair.split("=", 1)) for pair in pairs], entity, registry(), stored)


@pytest.mark.parametrize(
    ("pairs", "document"),
    [
        (["paths[]=/a", "paths[]=/b"], {"paths": ["/a", "/b"]}),
        (["paths=/a"], {"paths": ["/a"]}),
        (["paths=/a", "paths=/b"], {"paths": ["/a", "/b"]}),
        (["paths[2]=/b", "paths[1]=/a"], {"paths": ["/a", "/b"]}),
        (["paths[10]=/j", "paths[9]=/i"], {"paths": ["/i", "/j"]}),
        (["paths=/a", "paths[]=/b", "paths[1]=/c"], {"paths": ["/a", "/b", "/c"]}),
        (["paths="], {"paths": None}),
        (["paths[]="], {"paths": [None]}),
        (["hosts=a.com"], {"hosts": ["a.com"]}),
        (["tags=a", "tags=b"], {"tags": ["a", "b"]}),
        (["protocols[]=http"], {"protocols": ["http"]}),
        (["strip_path=true"], {"strip_path": True}),
        (["strip_path=True"], {"strip_path": "True"}),
        (["strip_path=1"], {"strip_path": "1"}),
        (["regex_priority=7"], {"regex_priority": 7}),
        (["regex_priority=-7"], {"regex_priority": -7}),
        (["regex_priority=7.0"], {"regex_priority": 7.0}),
        (["regex_priority=seven"], {"regex_priority": "seven"}),
        (["regex_priority=1e999"], {"regex_priority": "1e999"}),
        (["regex_priority=" + "9" * 40], {"regex_priority": "9" * 40}),
        (["https_redirect_status_code=301"], {"https_redirect_status_code": 301}),
        (["name="], {"name": None}),
        (["name=5"], {"name": "5"}),
        (["name=a", "name=b"], {"name": ["a", "b"]}),
        (["headers.x-v[]=1"], {"headers": {"x-v": ["1"]}}),
        (["headers[x-v]=1", "headers[x-w][]=2"], {"headers": {"x-v": ["1"], "x-w": ["2"]}}),
        (["headers[x.v]=1"], {"headers": {"x.v": ["1"]}}),
        (["sources[1].ip=10.0.0.1", "sources[1].port=80"], {"sources": [{"ip": "10.0.0.1", "port": 80}]}),
        (["sources[].ip=10.0.0.1", "sources[].port=80"], {"sources": [{"ip": "10.0.0.1"}, {"port": 80}]}),
        (["service.id=x"], {"service": {"id": "x"}}),
        (["service.name=x"], {"service": {"name": "x"}}),
        (["service=x"], {"service": "x"}),
        (["service="], {"service": None}),
        (["nobody.knows=1"], {"nobody": {"knows": "1"}}),
        (["nobody[1]=a", "nobody[2]=b"], {"nobody": ["a", "b"]}),
        (["nobody[]=a"], {"nobody": ["a"]}),
        ([], {}),
    ],
)
def test_routes(pairs, document):
    assert read(Route, *pairs) == document


def test_types_below_records_of_any_depth():
    document = read(
        Upstream,
        "healthchecks.active.healthy.interval=5",
        "healthchecks.active.healthy.http_statuses[]=200",
        "healthchecks.active.https_verify_certificate=false",
        "healthchecks.threshold=12.5",
        "healthchecks.active.headers.x[]=y",
    )
    active = document["healthchecks"]["active"]
    assert active["healthy"] == {"interval": 5, "http_statuses": [200]}
    assert active["https_verify_certificate"] is False
    assert active["headers"] == {"x": ["y"]}
    assert document["healthchecks"]["threshold"] == 12.5


def test_the_plugin_decides_about_its_configuration():
    document = read(Plugin, "config.minute=30", "name=rate-limiting", "config.hour=", "config.hide_client_headers=true")
    assert document == {"name": "rate-limiting", "config": {"minute": 30, "hour": None, "hide_client_headers": True}}
    headers = read(Plugin, "name=request-transformer", "config.add.headers[1]=h:v", "config.add.headers[2]=i:5")
    assert headers["config"] == {"add": {"headers": ["h:v", "i:5"]}}


def test_other_names_of_fields_have_their_types():
    pairs = ["name=rate-limiting", "config.redis_port=6380", "config.redis_ssl=true", "config.redis_host=10"]
    assert read(Plugin, *pairs)["config"] == {"redis_port": 6380, "redis_ssl": True, "redis_host": "10"}


def test_the_stored_plugin_decides_where_the_form_does_not():
    assert read(Plugin, "config.minute=30", stored={"name": "rate-limiting"})["config"] == {"minute": 30}
    assert read(Plugin, "config.minute=30")["config"] == {"minute": "30"}
    assert read(Plugin, "config.minute=30", "name=nope", stored={"name": "rate-limiting"})["config"]["minute"] == "30"
    assert read(Plugin, "config.minute=30", "name=a", "name=b")["config"]["minute"] == "30"


def test_the_document_is_what_validation_takes():
    given = read(Service, "url=http://u.test:81/x", "retries=3", "tags[]=a", "enabled=false")
    parsed = registry().parse(Service, given)
    assert (parsed["host"], parsed["port"], parsed["retries"], parsed["enabled"]) == ("u.test", 81, 3, False)


def test_without_a_declaration_all_is_text():
    assert document_of([("consumer", "5"), ("group[]", "a")]) == {"consumer": "5", "group": ["a"]}


def test_values_that_are_no_text_are_taken_as_they_are():
    assert document_of([("config", {"minute": "30"}), ("name", "rate-limiting")], Plugin, registry()) == {
        "name": "rate-limiting",
        "config": {"minute": "30"},
    }
    assert document_of([("paths", ["/a", "/b"])], Route, registry()) == {"paths": ["/a", "/b"]}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (".a", {".a": "v"}),
        ("a.", {"a.": "v"}),
        ("...", {"...": "v"}),
        ("", {"": "v"}),
        ("a..b", {"a": {"": {"b": "v"}}}),
        ("a[b", {"a[b": "v"}),
        ("a]b", {"a]b": "v"}),
        ("[a]", {"[a]": "v"}),
        ("a[b]c", {"a": {"b": {"c": "v"}}}),
        ("a[b].c", {"a": {"b": {"c": "v"}}}),
        ("a[b][c]", {"a": {"b": {"c": "v"}}}),
        ("a.b[c.d]", {"a": {"b": {"c.d": "v"}}}),
        ("a[b].", {"a": {"b": {".": "v"}}}),
        ("__proto__.x", {"__proto__": {"x": "v"}}),
        ("constructor[prototype][x]", {"constructor": {"prototype": {"x": "v"}}}),
        ("__class__.__init__[__globals__]", {"__class__": {"__init__": {"__globals__": "v"}}}),
    ],
)
def test_names(name, document):
    assert document_of([(name, "v")], Consumer, registry()) == document


@pytest.mark.parametrize(
    "arguments",
    [
        [("a", "v")] * (MOST_ARGUMENTS + 1),
        [("a" * (LONGEST_NAME + 1), "v")],
        [("." * DEEPEST + "a" + ".a" * DEEPEST, "v")],
        [("a" + "[]" * DEEPEST, "v")],
        [("a", "v"), ("a.b", "v")],
        [("config", "v"), ("config.minute", "1"), ("name", "rate-limiting")],
        [("service", "v"), ("service.id", "v")],
        [("a[]", "v"), ("a[x]", "v")],
    ],
)
def test_forms_that_make_no_document(arguments):
    with pytest.raises(FormError):
        document_of(arguments, Plugin, registry())


def test_large_indexes_make_no_large_lists():
    assert read(Route, "paths[999999999]=/a") == {"paths": ["/a"]}
    assert read(Route, "paths[9999999999999]=/a") == {"paths": {"9999999999999": "/a"}}


def test_as_many_as_are_allowed():
    pairs = [(f"tags[{number}]", str(number)) for number in range(MOST_ARGUMENTS)]
    assert len(document_of(pairs, Route, registry())["tags"]) == MOST_ARGUMENTS

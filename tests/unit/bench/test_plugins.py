import json

import pytest

from schema.declarative import load
from tests.bench.gateway import CREDENTIAL_KEY, snapshot
from tests.bench.plugin_gateway import with_credentials
from tests.bench.plugin_jobs import BARE, CONSUMERS, JOBS, chain, configuration
from tests.bench.plugins import Plan, added
from tests.bench.processes import BenchError


def test_every_job_is_a_route_with_its_plugins() -> None:
    loaded = load(configuration(1))
    assert loaded.errors == ()
    routes = {route["id"]: route["name"] for route in loaded.entities["routes"]}
    plugins: dict[str, list[str]] = {name: [] for name in routes.values()}
    for plugin in loaded.entities["plugins"]:
        plugins[routes[plugin["route"]["id"]]].append(plugin["name"])
    assert plugins == {BARE: []} | {name: [job.plugin for job in chain(name)] for name in JOBS}
    assert plugins["acl"] == ["key-auth", "acl"]


def test_more_credentials_are_whole_and_nobody_presents_them() -> None:
    document = snapshot(load(configuration(1)).for_gateways(CREDENTIAL_KEY))
    more = json.loads(with_credentials(document, CONSUMERS + 5))["entities"]["keyauth_credentials"]
    assert len(more) == CONSUMERS + 5
    assert {frozenset(one) for one in more} == {frozenset(more[-1])}
    assert len({one["id"] for one in more}) == len({one["key_hash"] for one in more}) == len(more)
    assert with_credentials(document, 3) == document


def test_what_a_plugin_adds_is_told_over_its_neighbour() -> None:
    plan = Plan(plugins=("acl",))
    assert plan.names == [BARE, "key-auth", "acl"]
    cpu_us = {BARE: [10.0, 20.0], "key-auth": [11.0, 22.0], "acl": [11.5, 22.25]}
    assert added(plan, cpu_us) == {"key-auth": [1.0, 2.0], "acl": [0.5, 0.25]}


def test_what_is_not_there_cannot_be_measured() -> None:
    with pytest.raises(BenchError, match="no job lua"):
        Plan(plugins=("lua",)).check()
    with pytest.raises(BenchError, match="rounds"):
        Plan(rounds=0).check()

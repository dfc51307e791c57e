"""Lists while others write, their filters, and what they cost."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from core.clock import SystemClock
from core.crud.paging import ListQuery
from core.crud.store import EntityStore
from schema.registry import registry
from tests.support.entities import Entities

KINDS = [plural for plural, entity in registry().entities.items() if entity.spec.mounted]


def test_rows_that_stay_are_shown_once_while_others_write(database, keyring, tenant, entities: Entities):
    """Writers make, change and delete rows on both sides of every cursor until the reader is through."""
    service = registry().entities["services"]

    def within(operation):
        with database.tenant(tenant.organization_id) as session:
            return operation(EntityStore(session, keyring, SystemClock(), tenant.actor, entities.id))

    kept = [within(lambda store, n=n: store.create(service, {"host": f"h-{n}"}))["id"] for n in range(30)]
    read = threading.Event()

    def write(number):
        while not read.is_set():
            made = within(lambda store: store.create(service, {"host": f"passing-{number}"}))["id"]
            within(lambda store: store.change(service, kept[number], {"retries": 7}))
            within(lambda store: store.replace(service, kept[-1 - number], {"host": "replaced"}))
            within(lambda store, made=made: store.delete(service, made))

    with ThreadPoolExecutor(3) as writers:
        running = [writers.submit(write, number) for number in range(3)]
        try:
            for _ in range(5):
                seen, offset = [], None
                while True:
                    page = within(lambda store, offset=offset: store.list(service, ListQuery(size=4, offset=offset)))
                    seen += [item["id"] for item in page.data]
                    offset = page.offset
                    if offset is None or len(seen) > 1000:
                        break
                assert len(seen) == len(set(seen))
                assert [identifier for identifier in seen if identifier in kept] == kept
        finally:
            read.set()
        for writer in running:
            writer.result()


@pytest.mark.parametrize("plural", KINDS)
def test_a_longer_list_costs_no_more_statements(entities: Entities, plural, database):
    path = entities.path(plural)
    for number in range(4):
        entities.sample(plural, number)
    counted = 0

    def count(*_arguments):
        nonlocal counted
        counted += 1

    def statements(size):
        nonlocal counted
        counted = 0
        assert len(entities.get(f"{path}?size={size}")["data"]) == size
        return counted

    statements(1)  # whatever is read once and remembered
    event.listen(database.app_engine, "before_cursor_execute", count)
    try:
        assert statements(1) == statements(4)
    finally:
        event.remove(database.app_engine, "before_cursor_execute", count)


def test_linked_partials_cost_one_statement(entities: Entities, database):
    for number in range(4):
        entities.create("partials", {"name": f"p-{number}", "type": "redis-ce", "config": {"host": "h"}})
        entities.create("services", {"name": f"s-{number}", "host": "h"})
        body = {"name": "rate-limiting", "config": {"minute": 1}, "partials": [{"name": f"p-{number}"}]}
        entities.create(f"services/s-{number}/plugins", body)
    counted = 0

    def count(*_arguments):
        nonlocal counted
        counted += 1

    def statements(query):
        nonlocal counted
        counted = 0
        assert entities.get(f"plugins?{query}")["data"]
        return counted

    event.listen(database.app_engine, "before_cursor_execute", count)
    try:
        assert statements("size=1") == statements("size=4") == statements("size=4&expand_partials=true")
    finally:
        event.remove(database.app_engine, "before_cursor_execute", count)


def test_consumers_are_found_by_what_clients_call_their_name(entities: Entities):
    for name in ("bob", "bobby", "eve"):
        entities.create("consumers", {"username": name, "custom_id": f"id-{name}"})

    def found(**params):
        return [item["username"] for item in entities.call("GET", "consumers", params=params).json()["data"]]

    assert found(custom_id="id-bob") == ["bob"]
    assert found(custom_id="") == ["bob", "bobby", "eve"]
    assert found(**{"filter[name][eq]": "bob"}) == ["bob"]
    assert found(**{"filter[name][contains]": "bob"}) == ["bob", "bobby"]
    assert entities.call("GET", "consumers", params={"custom_id": "a\x00"}).status_code == 400


@pytest.mark.parametrize("plural", KINDS)
def test_every_filter_selects(entities: Entities, plural):
    """Also by fields that are no keys, and so have no column."""
    path = entities.path(plural)
    made = entities.sample(plural)
    for field in registry().entities[plural].spec.filters:
        value = made[field]
        for operator in ("eq", "contains"):
            found = entities.call("GET", path, params={f"filter[{field}][{operator}]": value or "x"})
            assert found.status_code == 200, found.text
            assert [item["id"] for item in found.json()["data"]] == ([made["id"]] if value else [])
        assert entities.call("GET", path, params={f"filter[{field}][eq]": f"not-{value}"}).json()["data"] == []

"""Neighbours that are all at hand are found as the database would find them."""

from uuid import UUID

from core.crud.settled import Settled
from core.models.entities import ENTITY_ROWS, EntityRow

ONE, TWO, THREE, FOUR = (UUID(int=number) for number in range(1, 5))


def row(plural: str, identifier: UUID, **columns: object) -> EntityRow:
    found = ENTITY_ROWS[plural]()
    found.id = identifier
    found.doc = {}
    for name, value in columns.items():
        setattr(found, name, value)
    return found


SERVICE = row("services", ONE, name="s")
ROUTES = [row("routes", TWO, name="a", service_id=ONE), row("routes", THREE, name="b", service_id=None)]
PLUGIN = row("plugins", FOUR, name="cors", doc={"ordering": {"before": None}})
PLAIN = row("plugins", THREE, name="acl", doc={"ordering": None})
SETTLED = Settled({(found.entity.spec.plural, found.id): found for found in (SERVICE, *ROUTES, PLUGIN, PLAIN)})


def test_by_id():
    assert SETTLED.by_id("services", ONE) is SERVICE
    assert SETTLED.by_id("routes", ONE) is None
    assert SETTLED.by_ids("routes", [THREE, ONE, TWO]) == [ROUTES[1], ROUTES[0]]


def test_by_reference_and_key():
    assert SETTLED.referring("routes", "service", ONE) == [ROUTES[0]]
    assert list(SETTLED.referring("routes", "service", TWO)) == []
    assert SETTLED.with_keys("plugins", "name", {"cors", "jwt"}) == [PLUGIN]


def test_by_a_rare_field():
    assert SETTLED.having("plugins", "ordering") == [PLUGIN]

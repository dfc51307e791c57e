"""What runtimes refuse of a merged configuration is shown with the group."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from core.db.engine import Database
from core.models import RuntimeAck, RuntimeNode
from tests.api.control_plane_groups.conftest import Group
from tests.support.entities import Entities


@pytest.fixture
def report(group: Group, database: Database):
    """Have a runtime report on the group."""

    def ack(*errors: dict[str, Any], accepted: bool = False, silent: timedelta = timedelta()) -> None:
        seen = datetime.now(UTC) - silent
        with database.system() as session:
            node = str(uuid4())
            session.add(RuntimeNode(id=node, region="us", version="", hostname="", started_at=seen, last_seen_at=seen))
            session.flush()
            place = {"org_id": group.tenant.organization_id, "control_plane_id": group.id}
            session.add(RuntimeAck(**place, node_id=node, version=1, accepted=accepted, errors=list(errors)))

    return ack


@pytest.fixture
def plugin(group: Group) -> tuple[Entities, dict[str, Any]]:
    member = group.member("second")
    return member, member.create("plugins", {"name": "zipkin"})


def error(plugin: dict[str, Any], message: str = "unknown plugin") -> dict[str, Any]:
    return {"entity": "plugin", "id": plugin["id"], "name": "zipkin", "field": "name", "message": message}


def test_an_entity_is_shown_with_its_member(group: Group, plugin: tuple[Entities, dict[str, Any]], report) -> None:
    member, made = plugin
    group.member("third").create("services", {"name": "s", "host": "h"})
    report(error(made))
    report(error(made))
    status = group.status()
    assert status["state"] == "CONFLICT"
    (conflict,) = status["conflicts"]
    assert conflict["cluster_id"] == str(member.control_plane_id)
    assert conflict["resource"] == {"id": made["id"], "type": "plugin"}
    assert conflict["description"].startswith("gateways refuse this and keep the configuration before: ")
    assert conflict["description"].endswith("unknown plugin")


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": "control_plane", "id": None, "name": None, "field": None, "message": "too large"},
        {"entity": "plugin", "id": str(uuid4()), "field": None, "message": "too large"},
        {"entity": "plugin", "id": "x", "message": "too large"},
        {"message": "too large"},
    ],
)
def test_what_belongs_to_no_member_is_the_groups(group: Group, plugin: object, report, wrong: dict[str, Any]) -> None:
    report(wrong)
    (conflict,) = group.status()["conflicts"]
    assert conflict["cluster_id"] == str(group.id)
    assert conflict["resource"] == {"id": str(group.id), "type": "control_plane"}
    assert "too large" in conflict["description"]


def test_of_equal_ids_the_one_that_counts(group: Group, plugin: tuple[Entities, dict[str, Any]], report) -> None:
    member, made = plugin
    group.member("third").create("plugins", {"name": "zipkin", "id": made["id"]})
    report(error(made))
    refused = [item for item in group.status()["conflicts"] if "refuse" in item["description"]]
    assert [item["cluster_id"] for item in refused] == [str(member.control_plane_id)]


def test_what_was_taken_or_said_by_the_dead_does_not_count(
    group: Group, plugin: tuple[Entities, dict[str, Any]], report
) -> None:
    report(accepted=True)
    report(error(plugin[1]), silent=timedelta(minutes=5))
    assert group.status()["state"] == "OK"


def test_so_many(group: Group, plugin: tuple[Entities, dict[str, Any]], report) -> None:
    report(*(error(plugin[1], f"fault {number}") for number in range(300)))
    assert len(group.status()["conflicts"]) == 256

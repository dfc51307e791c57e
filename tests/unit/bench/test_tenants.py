from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway_runtime.client import Answer, ConfigUpdate, NotGiven
from schema.snapshot import Delta, Snapshot, apply_delta, parse_update
from tests.bench.tenants import CHANGES_KEPT, ManyTenants, Shape

pytestmark = pytest.mark.unit


def ask(control_plane: ManyTenants, key: str, from_version: int | None) -> Answer:
    return asyncio.run(anext(control_plane.fetch({key: from_version})))


def fetch(control_plane: ManyTenants, key: str, from_version: int | None) -> Snapshot | Delta:
    answer = ask(control_plane, key, from_version)
    assert isinstance(answer, ConfigUpdate)
    return parse_update(answer.document)


def test_a_change_arrives_alike_as_delta_and_as_snapshot() -> None:
    control_plane = ManyTenants()
    key = control_plane.assign(7, Shape(9000, spare_routes=3))
    before = fetch(control_plane, key, None)
    for count in range(5):
        assert control_plane.change(7, count) == (key, count + 2)
    delta, after = fetch(control_plane, key, 1), fetch(control_plane, key, None)
    assert isinstance(before, Snapshot)
    assert isinstance(delta, Delta)
    assert isinstance(after, Snapshot)
    assert apply_delta(before, delta).content_hash() == apply_delta(after, empty(after)).content_hash()
    assert before.hosts == ("t7.bench.test",)
    assert len(delta.changes) == 3


def empty(snapshot: Snapshot) -> Delta:
    document: dict[str, Any] = json.loads(snapshot.to_bytes())
    del document["entities"]
    return Delta.model_validate(
        document | {"kind": "delta", "from_version": snapshot.version, "changes": ()}, strict=False
    )


def test_what_is_too_old_is_a_snapshot_and_what_is_gone_is_gone() -> None:
    control_plane = ManyTenants()
    key = control_plane.assign(1, Shape(9000, spare_routes=1))
    for count in range(CHANGES_KEPT + 1):
        control_plane.change(1, count)
    assert isinstance(fetch(control_plane, key, 1), Snapshot)
    assert isinstance(fetch(control_plane, key, 2), Delta)
    control_plane.remove(1)
    assert ask(control_plane, key, None) == NotGiven(kind="not-assigned", control_plane_id=key)

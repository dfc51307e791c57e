"""The envelope between control plane and runtime."""

import json

import pytest

from schema.snapshot import Change, Delta, Snapshot, SnapshotError, apply_delta, parse_update

IDS = {"organization_id": "o", "control_plane_id": "c"}


def snapshot(version=1, **entities):
    return Snapshot(**IDS, version=version, hosts=("a.test",), entities={"services": [], "routes": [], **entities})


def delta(*changes, from_version=1, version=2):
    return Delta(**IDS, from_version=from_version, version=version, hosts=("a.test",), changes=changes)


def test_round_trip():
    for update in (
        snapshot(services=[{"id": "1", "name": None}]),
        delta(Change(operation="delete", type="routes", id="1")),
    ):
        assert parse_update(update.to_bytes()) == update


def test_wire_form():
    document = json.loads(snapshot().to_bytes())
    assert (document["format"], document["kind"], document["settings"]["real_ip_header"]) == (
        1,
        "snapshot",
        "X-Real-IP",
    )
    assert document["settings"]["headers"] == ["server_tokens", "latency_tokens", "X-Kong-Request-Id"]
    changes = json.loads(delta(Change(operation="delete", type="routes", id="1")).to_bytes())["changes"]
    assert changes == [{"operation": "delete", "type": "routes", "id": "1"}]


def test_a_delta_leads_to_the_same_content_as_a_snapshot():
    before = snapshot(services=[{"id": "1"}, {"id": "2"}])
    step = delta(
        Change(operation="put", type="services", id="0", entity={"id": "0"}),
        Change(operation="delete", type="services", id="2"),
        Change(operation="put", type="plugins", id="9", entity={"id": "9"}),
    )
    after = apply_delta(before, step)
    expected = snapshot(version=2, services=[{"id": "0"}, {"id": "1"}], plugins=[{"id": "9"}])
    assert after == expected
    assert after.content_hash() == expected.content_hash() != before.content_hash()


def test_a_delta_with_a_gap_is_refused():
    with pytest.raises(SnapshotError):
        apply_delta(snapshot(), delta(from_version=2, version=3))


def test_the_version_is_no_content():
    assert snapshot(version=1).content_hash() == snapshot(version=2).content_hash()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"format":2,"kind":"snapshot"}', b'{"format":1,"kind":"snapshot"}', b"[" * 100_000],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(SnapshotError):
        parse_update(data)

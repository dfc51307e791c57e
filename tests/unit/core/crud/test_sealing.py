"""Sealed leaves never reach the database in clear, and open only in their place."""

import base64
import json
from uuid import UUID, uuid4

import pytest

from core.crud.sealing import Sealer
from core.crypto import KeyRing, UnsealFailed
from schema.registry import registry

KEYRING = KeyRing(base64.b64decode("A" * 43 + "="))
ORGANIZATION = uuid4()


class OneOrganization:
    """A session that knows one organization's wrapped key and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.data_key = KEYRING.new_organization_key(ORGANIZATION).wrapped

    def get(self, _model, identifier: UUID):
        assert identifier == ORGANIZATION
        self.asked += 1
        return self


@pytest.fixture
def session():
    return OneOrganization()


def sealer(session, control_plane_id):
    return Sealer(session, KEYRING, registry(), ORGANIZATION, control_plane_id)


def document(**config):
    plugin = registry().entities["plugins"]
    body = {"name": "request-transformer", "id": str(uuid4()), "config": config}
    return plugin, registry().parse(plugin, body)


def test_only_values_are_sealed_and_they_come_back(session):
    entity, clear = document(
        add={"headers": ["Authorization:Bearer hunter2", "X-B:hunter3"]},
        replace={"body": ["p:hunter4"], "uri": "/visible"},
        remove={"headers": ["X-Visible"]},
    )
    control_plane = uuid4()
    one = sealer(session, control_plane)
    sealed = one.seal(entity, clear)
    text = json.dumps(sealed)
    assert "hunter" not in text
    assert "X-Visible" in text
    assert "/visible" in text
    assert clear["config"]["add"]["headers"][0] == "Authorization:Bearer hunter2"
    assert one.open(entity, sealed) == clear
    assert sealer(session, control_plane).open(entity, sealed) == clear


def test_another_place_does_not_open(session):
    entity, clear = document(add={"headers": ["a:1", "b:2"]})
    control_plane = uuid4()
    one = sealer(session, control_plane)
    sealed = one.seal(entity, clear)
    moved = {**sealed, "id": str(uuid4())}
    headers = sealed["config"]["add"]["headers"][::-1]
    swapped = {**sealed, "config": {**sealed["config"], "add": {**sealed["config"]["add"], "headers": headers}}}
    for stolen in (moved, swapped):
        with pytest.raises(UnsealFailed):
            one.open(entity, stolen)
    with pytest.raises(UnsealFailed):
        sealer(session, uuid4()).open(entity, sealed)


def test_the_key_is_read_once_and_only_when_needed(session):
    one = sealer(session, uuid4())
    entity, empty = document()
    assert one.open(entity, one.seal(entity, empty)) == empty
    assert session.asked == 0
    entity, clear = document(add={"headers": ["a:1", "b:2"]})
    one.open(entity, one.seal(entity, clear))
    assert session.asked == 1


def test_values_stored_before_they_were_marked_are_read(session):
    entity, clear = document(add={"headers": ["a:1"]})
    assert sealer(session, uuid4()).open(entity, clear) == clear

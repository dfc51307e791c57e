"""Keys: what they open, and what they do not."""

import base64
from uuid import uuid4

import pytest

from core.crypto import KeyRing, OrganizationKey, UnsealFailed, new_master_key

_ORG = uuid4()
_ROW = uuid4()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(bytes(32))


@pytest.fixture
def key(ring: KeyRing) -> OrganizationKey:
    return ring.new_organization_key(_ORG)


def test_master_key_has_32_bytes() -> None:
    assert len(base64.b64decode(new_master_key())) == 32
    assert new_master_key() != new_master_key()
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing(b"short")


def test_token_hash_is_keyed(ring: KeyRing) -> None:
    assert ring.token_hash("kpat_x") == ring.token_hash("kpat_x")
    assert len(ring.token_hash("kpat_x")) == 32
    assert ring.token_hash("kpat_x") != ring.token_hash("kpat_y")
    assert ring.token_hash("kpat_x") != KeyRing(bytes(31) + b"\x01").token_hash("kpat_x")


@pytest.mark.parametrize("plaintext", ["", "secret", "孔 🦍", "x" * 100_000])
def test_opens_what_it_sealed(ring: KeyRing, key: OrganizationKey, plaintext: str) -> None:
    sealed = ring.seal(key, "plugins", _ROW, "config.key", plaintext)

    assert ring.open(key, "plugins", _ROW, "config.key", sealed) == plaintext
    assert sealed.startswith("v1:")
    assert not plaintext or plaintext not in sealed
    assert sealed != ring.seal(key, "plugins", _ROW, "config.key", plaintext)


def test_opens_in_its_place_only(ring: KeyRing, key: OrganizationKey) -> None:
    sealed = ring.seal(key, "plugins", _ROW, "config.key", "secret")

    for table, row, field in [
        ("routes", _ROW, "config.key"),
        ("plugins", uuid4(), "config.key"),
        ("plugins", _ROW, "config.other"),
    ]:
        with pytest.raises(UnsealFailed):
            ring.open(key, table, row, field, sealed)


def test_parts_of_a_place_do_not_run_together(ring: KeyRing, key: OrganizationKey) -> None:
    sealed = ring.seal(key, "a|b", "c", "d", "secret")

    with pytest.raises(UnsealFailed):
        ring.open(key, "a", "b|c", "d", sealed)


def test_other_organization(ring: KeyRing, key: OrganizationKey) -> None:
    sealed = ring.seal(key, "plugins", _ROW, "f", "secret")

    with pytest.raises(UnsealFailed):
        ring.open(ring.new_organization_key(uuid4()), "plugins", _ROW, "f", sealed)
    # A data key copied to another organization's row does not even unwrap.
    with pytest.raises(UnsealFailed, match="data key"):
        ring.open(OrganizationKey(uuid4(), key.wrapped), "plugins", _ROW, "f", sealed)


def test_other_master_key(ring: KeyRing, key: OrganizationKey) -> None:
    with pytest.raises(UnsealFailed, match="SLUICE_MASTER_KEY"):
        KeyRing(bytes(31) + b"\x01").open(key, "t", _ROW, "f", ring.seal(key, "t", _ROW, "f", "secret"))


def test_changed_value(ring: KeyRing, key: OrganizationKey) -> None:
    sealed = ring.seal(key, "t", _ROW, "f", "secret")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]

    with pytest.raises(UnsealFailed):
        ring.open(key, "t", _ROW, "f", changed)
    with pytest.raises(UnsealFailed, match="version"):
        ring.open(key, "t", _ROW, "f", "v2" + sealed[2:])


def test_lookup_hash_is_one_per_place(ring: KeyRing) -> None:
    one = ring.lookup_hash(_ORG, "key_auths", "key", "k")

    assert one == ring.lookup_hash(_ORG, "key_auths", "key", "k")
    assert one != ring.lookup_hash(uuid4(), "key_auths", "key", "k")
    assert one != ring.lookup_hash(_ORG, "jwts", "key", "k")
    assert one != ring.lookup_hash(_ORG, "key_auths", "key", "l")


def test_nothing_shows(ring: KeyRing) -> None:
    assert repr(ring) == "KeyRing()"

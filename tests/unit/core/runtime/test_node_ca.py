import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.errors import SettingsError, Unauthenticated
from core.runtime.node_ca import Node, NodeCa, NodeVerifier, load_ca_certificate
from gateway_runtime.identity import NodeIdentity
from tests.support.node_authority import make_authority

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class World:
    """A node CA, one node with its files, and a verifier."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca_cert, self.ca_key = make_authority(directory, NOW)
        self.ca = NodeCa.load(self.ca_cert, self.ca_key)
        self.node = Node(uuid4(), "us")
        self.verifier = NodeVerifier(load_ca_certificate(self.ca_cert))
        self.certificate, self.key = directory / "node.crt", directory / "node.key"
        self.ca.ensure_files(self.node, self.certificate, self.key, NOW)

    def assertion(self, at: datetime = NOW, node_id: UUID | None = None) -> str:
        identity = NodeIdentity(node_id or self.node.node_id, self.certificate, self.key, now=at.timestamp)
        return identity.assertion()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reason(world: World, assertion: str, now: datetime = NOW) -> str:
    with pytest.raises(Unauthenticated) as caught:
        world.verifier.verify(assertion, now)
    return caught.value.reason


def test_a_runtimes_assertion_names_node_and_region(world: World) -> None:
    assert world.verifier.verify(world.assertion(), NOW) == world.node


def test_time_decides(world: World) -> None:
    assertion = world.assertion()
    assert world.verifier.verify(assertion, NOW + timedelta(seconds=80)) == world.node
    assert "time" in reason(world, assertion, NOW + timedelta(seconds=91))
    assert "time" in reason(world, assertion, NOW - timedelta(seconds=31))


def test_certificate_must_be_valid(world: World) -> None:
    later = NOW + timedelta(days=91)
    assert "chain" in reason(world, world.assertion(later), later)


def test_another_authority_is_not_believed(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    assert "chain" in reason(world, other.assertion())


def test_a_node_cannot_speak_for_another(world: World) -> None:
    assert "claims" in reason(world, world.assertion(node_id=uuid4()))


def test_every_part_is_signed(world: World) -> None:
    head, body, signature = world.assertion().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"exp": claims["exp"] - 1}).encode()).rstrip(b"=").decode()
    assert "signature" in reason(world, f"{head}.{forged}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384"])
def test_only_one_algorithm(world: World, algorithm: str) -> None:
    head, body, signature = world.assertion().split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(header | {"alg": algorithm}).encode()).rstrip(b"=").decode()
    assert "algorithm" in reason(world, f"{forged}.{body}.{signature}")


@pytest.mark.parametrize(
    "assertion",
    ["", "a", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", "x" * 20_000, "\u00e9.\u00e9.\u00e9", "W10.W10.W10"],
)
def test_nonsense_is_refused(world: World, assertion: str) -> None:
    assert reason(world, assertion)


@pytest.mark.parametrize(
    "uri", ["https://region/us/node/x", "sluice://region/us/other/x", "sluice://region/us", "sluice://region//node/x"]
)
def test_certificate_without_our_name_is_refused(world: World, uri: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key = serialization.load_pem_private_key(world.ca_key.read_bytes(), None)
    ca = x509.load_pem_x509_certificate(world.ca_cert.read_bytes())
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    name = uri.replace("/x", f"/{uuid4()}")
    certificate = (
        x509.CertificateBuilder(ca.subject, ca.subject, key.public_key(), 5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    world.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    world.key.write_bytes(pem)
    assert "name" in reason(world, world.assertion())


def test_files_are_kept_until_a_third_is_left_and_the_key_for_ever(world: World) -> None:
    key, certificate = world.key.read_bytes(), world.certificate.read_bytes()
    assert not world.ca.ensure_files(world.node, world.certificate, world.key, NOW + timedelta(days=59))
    assert world.ca.ensure_files(world.node, world.certificate, world.key, NOW + timedelta(days=61))
    assert world.key.read_bytes() == key
    assert world.certificate.read_bytes() != certificate


def test_files_follow_node_and_authority(world: World, tmp_path: Path) -> None:
    moved = Node(world.node.node_id, "eu")
    assert world.ca.ensure_files(moved, world.certificate, world.key, NOW)
    assert not world.ca.ensure_files(moved, world.certificate, world.key, NOW)
    (tmp_path / "other").mkdir()
    other = NodeCa.load(*make_authority(tmp_path / "other", NOW))
    assert other.ensure_files(moved, world.certificate, world.key, NOW)


def test_files_are_private(world: World) -> None:
    assert world.key.stat().st_mode & 0o777 == 0o600


def test_damaged_key_is_replaced_with_its_certificate(world: World) -> None:
    world.key.write_text("")
    assert world.ca.ensure_files(world.node, world.certificate, world.key, NOW)
    assert world.verifier.verify(world.assertion(), NOW) == world.node


def test_settings_are_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SLUICE_NODE_CA_CERT_FILE"):
        NodeCa.load(None, world.ca_key)
    with pytest.raises(SettingsError, match="SLUICE_NODE_CA_KEY_FILE"):
        NodeCa.load(world.ca_cert, tmp_path / "absent")
    with pytest.raises(SettingsError, match="is not the key"):
        NodeCa.load(world.ca_cert, world.key)

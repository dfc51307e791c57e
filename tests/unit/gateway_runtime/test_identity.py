import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway_runtime.identity import IdentityError, NodeIdentity

NODE = UUID("11111111-0000-4000-8000-000000000001")


class Files:
    def __init__(self, directory: Path) -> None:
        self.certificate, self.key = directory / "node.crt", directory / "node.key"
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(
            self.private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.issue(1)

    def issue(self, serial: int) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, self.private.public_key(), serial)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(self.private, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def test_assertion_is_a_signed_jws_with_its_chain(files: Files) -> None:
    token = NodeIdentity(NODE, files.certificate, files.key, now=lambda: 1000.7).assertion()
    head, body, signature = token.split(".")
    header, claims = json.loads(decoded(head)), json.loads(decoded(body))
    assert header["alg"] == "ES256"
    certificate = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    raw = decoded(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    assert {key: claims[key] for key in ("sub", "aud", "iat", "exp")} == {
        "sub": str(NODE),
        "aud": "sluice-runtime",
        "iat": 1000,
        "exp": 1060,
    }
    assert len(claims["jti"]) >= 16


def test_assertion_is_kept_until_it_nears_its_end(files: Files) -> None:
    now = 1000.0
    identity = NodeIdentity(NODE, files.certificate, files.key, now=lambda: now)
    first = identity.assertion()
    now = 1039.0
    assert identity.assertion() == first
    now = 1041.0
    assert identity.assertion() != first


def test_clock_set_back_makes_a_new_assertion(files: Files) -> None:
    now = 1000.0
    identity = NodeIdentity(NODE, files.certificate, files.key, now=lambda: now)
    first = identity.assertion()
    now = 900.0
    assert identity.assertion() != first


def test_renewed_certificate_is_taken_up(files: Files) -> None:
    now = 1000.0
    identity = NodeIdentity(NODE, files.certificate, files.key, now=lambda: now)
    identity.assertion()
    renewed = files.issue(2)
    now = 2000.0
    header = json.loads(decoded(identity.assertion().split(".")[0]))
    assert header["x5c"] == [base64.b64encode(renewed.public_bytes(serialization.Encoding.DER)).decode()]


def test_derived_keys_differ_by_purpose_and_salt(files: Files) -> None:
    identity = NodeIdentity(NODE, files.certificate, files.key)
    keys = {identity.derive_key(purpose, salt) for purpose in ("a", "b") for salt in (b"1", b"2")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert identity.derive_key("a", b"1") in keys


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_bad_key_is_named_and_not_shown(files: Files, content: bytes) -> None:
    files.key.write_bytes(content)
    with pytest.raises(IdentityError, match=r"node\.key: no usable private key") as caught:
        NodeIdentity(NODE, files.certificate, files.key)
    assert "AAAA" not in str(caught.value)


def test_other_kinds_of_key_are_refused(files: Files) -> None:
    key = rsa.generate_private_key(65537, 2048)
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(IdentityError, match="not a P-256 key"):
        NodeIdentity(NODE, files.certificate, files.key)

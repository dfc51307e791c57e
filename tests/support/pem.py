"""Throw-away certificates and keys, made once per process and number."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@cache
def pair(number: int = 0, kind: str = "ec") -> tuple[str, str]:
    """A self-signed certificate and its private key, in PEM. `kind`: `ec`, `rsa`, `p521` or `small` (RSA)."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if kind in {"rsa", "small"}:
        key = rsa.generate_private_key(65537, 2048 if kind == "rsa" else 1024)
    else:
        key = ec.generate_private_key(ec.SECP521R1() if kind == "p521" else ec.SECP256R1())
    return _signed(f"server-{number}", key, authority=False, days=1), _key(key)


@cache
def authority(number: int = 0, *, days: int = 1) -> str:
    """The self-signed certificate of an authority, in PEM. A negative number of days: it has expired."""
    return _signed(f"authority-{number}", ec.generate_private_key(ec.SECP256R1()), authority=True, days=days)


def _signed(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *, authority: bool, days: int) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

"""The certificate: what a gateway shows to clients, or to an upstream, with its private key."""

from typing import Annotated, ClassVar

from schema.base import Entity, EntitySpec, Names
from schema.checks import AllOrNoneOf
from schema.marks import Sealed
from schema.pem import OtherKeyType, Pair
from schema.types import Certificates, PrivateKey, ServerNames


class Certificate(Entity):
    """A certificate chain and its private key, in PEM."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="certificates",
        singular="certificate",
        natural_key=None,
        checks=(
            Pair("cert", "key"),
            Pair("cert_alt", "key_alt"),
            AllOrNoneOf(("cert_alt", "key_alt")),
            OtherKeyType("cert", "cert_alt"),
        ),
        example={
            "cert": "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----",
            "key": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
            "snis": ["shop.example.com"],
        },
    )

    cert: Certificates
    """Certificate chain in PEM, the own certificate first."""
    key: Annotated[PrivateKey, Sealed()]
    """Private key in PEM."""
    cert_alt: Certificates | None = None
    """Certificate chain of another key type, for clients that prefer it."""
    key_alt: Annotated[PrivateKey | None, Sealed()] = None
    """Private key of the alternative chain."""
    snis: Annotated[ServerNames | None, Names("snis")] = None
    """Server names that it is shown for. Given, it sets them all; left out, they stay as they are."""

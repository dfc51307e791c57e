"""The CA certificate: an authority that peers' certificates are verified against."""

from typing import Annotated, ClassVar

from pydantic import Field

from schema.base import Catalog, Document, Entity, EntitySpec, Unique
from schema.errors import Violation
from schema.pem import digest
from schema.types import AuthorityCertificate, ShortText


class CaCertificate(Entity):
    """A trusted certificate authority."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="ca_certificates",
        singular="ca_certificate",
        natural_key=None,
        unique=(Unique(("cert_digest",)),),
        example={"cert": "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----"},
    )

    cert: AuthorityCertificate
    """One certificate in PEM, of an authority."""
    cert_digest: Annotated[ShortText | None, Field(json_schema_extra={"readOnly": True})] = None
    """SHA-256 of the certificate's DER form in hex; computed."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        certificate = document.get("cert")
        return {**document, "cert_digest": digest(certificate) if isinstance(certificate, str) else None}, []

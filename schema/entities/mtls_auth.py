"""The mtls-auth credential: the name in the certificate that a consumer presents."""

from typing import Annotated, ClassVar

from schema.base import Entity, EntitySpec, Ref, Unique
from schema.types import Reference, ShortText


class MtlsAuth(Entity):
    """A certificate's name that a consumer is known by, for the plugin `mtls-auth`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="mtls_auth_credentials",
        singular="mtls-auth",
        path="mtls-auths",
        nested_path="mtls-auth",
        natural_key=None,
        unique=(Unique(("subject_name", "ca_certificate"), nulls_equal=True),),
        filters=("subject_name",),
        gateways=False,
        dated=False,
        example={"subject_name": "ada.example.com"},
    )

    subject_name: ShortText
    """A subject alternative name, or the common name, of the certificate; once per authority."""
    ca_certificate: Annotated[Reference | None, Ref("ca_certificates", on_delete="restrict")] = None
    """The authority that must have issued it; unset: any that the plugin trusts."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose certificate it is."""

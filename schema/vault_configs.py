"""What the configuration of each backend of vaults may hold, as clients are told.

The control plane adds nothing to a configuration, not even nulls, so there are no defaults here.

Source: Kong Gateway docs, secrets management, backends.
"""

from collections.abc import Mapping
from typing import Final

from schema.base import Record
from schema.plugin_types import ReferableText, SecretText
from schema.types import Integer, Number, Text


class _Caching(Record):
    """How long secrets are remembered."""

    ttl: Number | None = None
    """Seconds for which a secret is remembered; 0: for ever."""
    neg_ttl: Number | None = None
    """Seconds for which it is remembered that there is none."""
    resurrect_ttl: Number | None = None
    """Seconds for which an old secret is used while there is no new one to be had."""
    base64_decode: bool | None = None
    """Whether secrets are in base64."""


class Env(Record):
    """Variables of the node's environment."""

    prefix: Text | None = None
    """First part of the variables' names."""
    base64_decode: bool | None = None
    """Whether secrets are in base64."""


class Fs(Record):
    """Files of the node."""

    prefix: Text | None = None
    """Directory of the files."""


class Konnect(Record):
    """A store of the control plane."""

    config_store_id: Text | None = None
    """The store."""


class Aws(_Caching):
    """AWS Secrets Manager."""

    region: ReferableText | None = None
    """Region."""
    endpoint_url: Text | None = None
    """Where the service is, if not at its usual place."""
    assume_role_arn: Text | None = None
    """Role to take on."""
    role_session_name: Text | None = None
    """Name of the session in that role."""
    sts_endpoint_url: Text | None = None
    """Where the role is asked for."""


class Gcp(_Caching):
    """Google Secret Manager."""

    project_id: Text | None = None
    """Project."""


class Azure(_Caching):
    """Azure Key Vault."""

    vault_uri: Text | None = None
    """The key vault."""
    location: Text | None = None
    """Region."""
    type: Text | None = None
    """What is kept there."""
    credentials_prefix: Text | None = None
    """First part of the names of the variables with the credentials."""
    client_id: Text | None = None
    """Client id."""
    tenant_id: Text | None = None
    """Tenant."""


class Hcv(_Caching):
    """HashiCorp Vault."""

    protocol: Text | None = None
    """`http` or `https`."""
    host: Text | None = None
    """Host."""
    port: Integer | None = None
    """Port."""
    mount: Text | None = None
    """Where the secrets engine is mounted."""
    kv: Text | None = None
    """Version of the secrets engine, `v1` or `v2`."""
    namespace: Text | None = None
    """Namespace."""
    auth_method: Text | None = None
    """How the node signs in."""
    token: SecretText | None = None
    """Token."""
    kube_role: Text | None = None
    """Role of the cluster's service account."""
    kube_auth_path: Text | None = None
    """Path of the sign-in method."""
    kube_api_token_file: Text | None = None
    """File with the token of the cluster's service account."""
    ssl_verify: bool | None = None
    """Whether the server's certificate is verified."""


class Conjur(_Caching):
    """CyberArk Conjur."""

    endpoint_url: Text | None = None
    """Where the service is."""
    auth_method: Text | None = None
    """How the node signs in."""
    account: Text | None = None
    """Account."""
    login: Text | None = None
    """User name."""
    api_key: SecretText | None = None
    """Key of the user."""


CONFIGS: Final[Mapping[str, type[Record]]] = {
    "aws": Aws,
    "azure": Azure,
    "azure-certs": Azure,
    "conjur": Conjur,
    "env": Env,
    "fs": Fs,
    "gcp": Gcp,
    "hcv": Hcv,
    "konnect": Konnect,
}

"""What the partials for language models have in common: signing in, and options of single providers."""

from typing import Literal

from schema.base import Record
from schema.plugin_types import ReferableText, SecretText
from schema.types import Text


class ProviderAuth(Record):
    """How requests to a provider are authenticated."""

    header_name: ReferableText | None = None
    """Header that carries the secret."""
    header_value: SecretText | None = None
    """Content of that header."""
    param_name: ReferableText | None = None
    """Parameter that carries the secret."""
    param_value: SecretText | None = None
    """Content of that parameter."""
    param_location: Literal["query", "body"] | None = None
    """Where that parameter goes."""
    azure_use_managed_identity: bool = False
    """Whether the machine's identity in Azure is used."""
    azure_client_id: ReferableText | None = None
    """Client id in Azure."""
    azure_client_secret: SecretText | None = None
    """Client secret in Azure."""
    azure_tenant_id: ReferableText | None = None
    """Tenant in Azure."""
    aws_access_key_id: SecretText | None = None
    """Key id in AWS."""
    aws_secret_access_key: SecretText | None = None
    """Secret of the key in AWS."""
    gcp_use_service_account: bool = False
    """Whether a service account of Google Cloud is used."""
    gcp_service_account_json: SecretText | None = None
    """That account, as its JSON file."""
    gcp_metadata_url: ReferableText | None = None
    """Where the machine's identity in Google Cloud is asked for."""
    gcp_oauth_token_url: ReferableText | None = None
    """Where tokens of Google Cloud come from."""
    allow_override: bool = False
    """Whether the caller's own credentials may take the place of these."""


class Bedrock(Record):
    """Options of AWS Bedrock."""

    aws_region: Text | None = None
    """Region."""
    aws_assume_role_arn: Text | None = None
    """Role to take on."""
    aws_role_session_name: Text | None = None
    """Name of the session in that role."""
    aws_sts_endpoint_url: Text | None = None
    """Where the role is taken on."""
    batch_bucket_prefix: Text | None = None
    """Bucket for batches."""
    batch_role_arn: Text | None = None
    """Role for batches."""
    embeddings_normalize: bool = False
    """Whether embeddings are normalised."""
    performance_config_latency: Text | None = None
    """Wanted latency class."""
    video_output_s3_uri: Text | None = None
    """Where videos are put."""


class HuggingFace(Record):
    """Options of Hugging Face."""

    use_cache: bool | None = None
    """Whether cached answers are taken."""
    wait_for_model: bool | None = None
    """Whether to wait until the model is loaded."""

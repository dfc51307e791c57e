"""embeddings: the model that turns text into vectors."""

from typing import ClassVar, Literal

from pydantic import Field

from schema.base import PartialConfig, Record
from schema.partials.providers import Bedrock, HuggingFace, ProviderAuth
from schema.types import Text, Url


class Azure(Record):
    """Options of Azure."""

    instance: Text | None = None
    """Name of the instance."""
    api_version: Text = "2023-05-15"
    """Version of the API."""
    deployment_id: Text | None = None
    """Name of the deployment."""


class Gemini(Record):
    """Options of Gemini."""

    api_endpoint: Text | None = None
    """Host of the API."""
    project_id: Text | None = None
    """Project."""
    location_id: Text | None = None
    """Location."""


class EmbeddingOptions(Record):
    """Options of the model, by provider."""

    upstream_url: Url | None = None
    """Where the provider is, if not at its usual place."""
    azure: Azure = Field(default_factory=Azure)
    """Azure."""
    bedrock: Bedrock | None = None
    """AWS Bedrock."""
    gemini: Gemini | None = None
    """Gemini."""
    huggingface: HuggingFace | None = None
    """Hugging Face."""


class EmbeddingModel(Record):
    """A model of a provider."""

    provider: Literal["openai", "azure", "mistral", "huggingface", "gemini", "bedrock", "ollama"]
    """The provider."""
    name: Text
    """The model's name there."""
    options: EmbeddingOptions | None = None
    """Options."""


class Embeddings(PartialConfig):
    """A model for embeddings, with how to reach it."""

    kind: ClassVar[str] = "embeddings"

    auth: ProviderAuth | None = None
    """Authentication."""
    model: EmbeddingModel
    """The model."""

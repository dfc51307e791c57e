"""model: a language model of a provider."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schema.base import PartialConfig, Record
from schema.partials.providers import Bedrock, HuggingFace, ProviderAuth
from schema.types import Integer, Number, Text, Url, between

Provider = Literal[
    "openai", "azure", "anthropic", "cohere", "mistral", "llama2", "gemini", "bedrock", "huggingface", "dashscope", "xai",
    "cerebras", "databricks", "deepseek", "ollama", "vllm",
]  # fmt: skip
RouteType = Literal[
    "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings", "llm/v1/assistants", "llm/v1/batches", "llm/v1/files",
    "llm/v1/responses", "audio/v1/audio/speech", "audio/v1/audio/transcriptions", "audio/v1/audio/translations",
    "image/v1/images/generations", "image/v1/images/edits", "video/v1/videos/generations", "realtime/v1/realtime",
    "preserve",
]  # fmt: skip


class Cohere(Record):
    """Options of Cohere."""

    embedding_input_type: Literal["search_document", "search_query", "classification", "clustering", "image"] = (
        "classification"
    )
    """What embeddings are for."""
    wait_for_model: bool | None = None
    """Whether to wait until the model is loaded."""


class Dashscope(Record):
    """Options of DashScope."""

    international: bool = True
    """Whether the endpoint outside of China is used."""


class Databricks(Record):
    """Options of Databricks."""

    workspace_instance_id: Text | None = None
    """The workspace."""


class VertexGemini(Record):
    """Options of Gemini, and of Vertex."""

    api_endpoint: Text | None = None
    """Host of the API."""
    endpoint_id: Text | None = None
    """Endpoint of a model of one's own."""
    project_id: Text | None = None
    """Project."""
    location_id: Text | None = None
    """Location."""


class ModelOptions(Record):
    """Options of the model; some belong to one provider."""

    max_tokens: Integer | None = None
    """Longest answer."""
    input_cost: Number | None = None
    """Price of a million tokens of a prompt."""
    output_cost: Number | None = None
    """Price of a million tokens of an answer."""
    temperature: Annotated[Number, between(0, 5)] | None = None
    """How freely tokens are chosen."""
    top_p: Annotated[Number, between(0, 1)] | None = None
    """Share of the likeliest tokens that are considered."""
    top_k: Annotated[Integer, between(0, 500)] | None = None
    """Number of the likeliest tokens that are considered."""
    embeddings_dimensions: Integer | None = None
    """Length of vectors."""
    anthropic_version: Text | None = None
    """Version of Anthropic's API."""
    azure_instance: Text | None = None
    """Instance in Azure."""
    azure_api_version: Text = "2023-05-15"
    """Version of Azure's API."""
    azure_deployment_id: Text | None = None
    """Deployment in Azure."""
    llama2_format: Literal["raw", "openai", "ollama"] | None = None
    """Form that a Llama server speaks."""
    mistral_format: Literal["openai", "ollama"] | None = None
    """Form that a Mistral server speaks."""
    upstream_url: Url | None = None
    """Where the provider is, if not at its usual place."""
    upstream_path: Text | None = None
    """Path there."""
    bedrock: Bedrock | None = None
    """AWS Bedrock."""
    cohere: Cohere | None = None
    """Cohere."""
    dashscope: Dashscope | None = None
    """DashScope."""
    databricks: Databricks | None = None
    """Databricks."""
    gemini: VertexGemini | None = None
    """Gemini."""
    huggingface: HuggingFace | None = None
    """Hugging Face."""


class LanguageModel(Record):
    """A model of a provider."""

    provider: Provider
    """The provider."""
    name: Text | None = None
    """The model's name there."""
    model_alias: Text | None = None
    """Name that callers ask for it by."""
    options: ModelOptions | None = None
    """Options."""


class ModelLogging(Record):
    """What is written down of calls."""

    log_statistics: bool = False
    """Whether figures are."""
    log_payloads: bool = False
    """Whether prompts and answers are."""


class Model(PartialConfig):
    """A language model, with how to reach it."""

    kind: ClassVar[str] = "model"

    route_type: RouteType
    """What is asked of it."""
    model: LanguageModel
    """The model."""
    auth: ProviderAuth | None = None
    """Authentication."""
    logging: ModelLogging = Field(default_factory=ModelLogging)
    """What is written down."""
    description: Text | None = None
    """What it is good at."""
    metadata: dict[str, Any] | None = None
    """Anything for those who choose between models."""
    weight: Annotated[Integer, between(1, 65_535)] = 100
    """Share of the calls."""

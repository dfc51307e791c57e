"""vectordb: where vectors are kept and compared."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.base import PartialConfig, Record
from schema.partials.redis_ee import RedisEe
from schema.plugin_types import ReferableText, SecretText
from schema.types import Host, Integer, Number, Port, Text, between


class PgVector(Record):
    """A PostgreSQL server with pgvector."""

    host: Host = "127.0.0.1"
    """Name or address."""
    port: Port = 5432
    """Port."""
    user: ReferableText = "postgres"
    """User name."""
    password: SecretText | None = None
    """Password."""
    database: Text = "kong-pgvector"
    """Name of the database."""
    timeout: Number = 5000
    """Bound of a query, in milliseconds."""
    ssl: bool = False
    """Whether TLS is spoken where the server offers it."""
    ssl_required: bool = False
    """Whether a server without TLS is refused."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    ssl_version: Literal["tlsv1_2", "tlsv1_3", "any"] = "tlsv1_2"
    """Version of TLS."""
    ssl_cert: Text | None = None
    """Path of a client certificate."""
    ssl_cert_key: Text | None = None
    """Path of its private key."""


class VectorDb(PartialConfig):
    """A database of vectors."""

    kind: ClassVar[str] = "vectordb"

    strategy: Literal["redis", "pgvector"]
    """Which of the databases below it is."""
    dimensions: Annotated[Integer, between(1, 65_536)]
    """Length of the vectors."""
    distance_metric: Literal["cosine", "euclidean"]
    """How the distance of two vectors is measured."""
    threshold: Number | None = None
    """Distance up to which two vectors count as alike."""
    redis: RedisEe = Field(default_factory=RedisEe)
    """Server for the strategy `redis`."""
    pgvector: PgVector = Field(default_factory=PgVector)
    """Server for the strategy `pgvector`."""

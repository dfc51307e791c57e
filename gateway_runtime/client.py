"""The runtime's side of the control plane's runtime API."""

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol
from uuid import UUID

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway_runtime.identity import IdentityError
from schema.snapshot import MOST_UPDATE_BYTES
from schema.terms import terms_hash

# The control plane pings every 5 s; three missed ones mean that the line is dead.
SILENCE_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 30.0
MOST_FETCHED: Final = 100
"""Control planes in one request for updates."""

log = structlog.stdlib.get_logger(__name__)


class ControlPlaneUnavailable(Exception):
    """The control plane did not answer, or not sensibly; try again later."""


class RequestRefused(Exception):
    """The control plane understood the request and will never accept it as it is; trying again is pointless."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Assignment(_Message):
    """One control plane that this region's runtimes serve, and its newest version. `terms`: "" for everybody's."""

    organization_id: UUID
    control_plane_id: UUID
    hosts: list[str] = []
    version: int = Field(ge=0)
    terms: str = ""


class Assignments(_Message):
    """Everything that is assigned; what is not listed is not served. `terms`: schema/terms.py; "" does not say."""

    type: Literal["assignments"]
    items: list[Assignment]
    terms: str = ""


class Assigned(_Message):
    """One more assignment, or new hosts for one."""

    type: Literal["assigned"]
    item: Assignment


class Version(_Message):
    """A control plane is at this version now."""

    type: Literal["version"]
    control_plane_id: UUID
    version: int = Field(ge=0)


class Removed(_Message):
    """An assignment ended."""

    type: Literal["removed"]
    control_plane_id: UUID


class Orders(_Message):
    """There are orders about targets to fetch."""

    type: Literal["orders"]


class Ping(_Message):
    """The stream is alive."""

    type: Literal["ping"]


StreamMessage = Assignments | Assigned | Version | Removed | Orders | Ping
_MESSAGE: Final[TypeAdapter[StreamMessage]] = TypeAdapter(Annotated[StreamMessage, Field(discriminator="type")])


class TargetOrder(_Message):
    """Take a target for healthy or not. `version`: the configuration that it is part of; `address`: of it alone."""

    seq: int
    control_plane_id: UUID
    version: int
    upstream_id: UUID
    target_id: UUID
    address: str | None
    healthy: bool


class TargetOrders(_Message):
    """Orders in the order in which they were given."""

    items: list[TargetOrder]


class UpdateHead(BaseModel):
    """The members that the agent reads of an update; the rest is the engine's."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["snapshot", "delta"]
    control_plane_id: str
    organization_id: str = ""
    from_version: int = 0
    version: int
    hosts: tuple[str, ...] = ()
    config_hash: str = ""
    settings: dict[str, Any] = {}
    limits: dict[str, Any] = {}

    @property
    def terms(self) -> str:
        """The hash of the terms that it was given under."""
        return terms_hash(self.settings, self.limits)


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """A snapshot or delta as fetched: `document` is the JSON for the engine; `config_hash` names what it leads to."""

    control_plane_id: str
    document: bytes
    config_hash: str
    is_snapshot: bool
    from_version: int
    version: int
    organization_id: str
    hosts: tuple[str, ...]
    terms: str

    @classmethod
    def read(cls, document: bytes) -> "ConfigUpdate":
        """Read the members that the agent needs. Raises ValidationError."""
        head = UpdateHead.model_validate_json(document)
        is_snapshot = head.kind == "snapshot"
        return cls(
            control_plane_id=head.control_plane_id,
            document=document,
            config_hash=head.config_hash,
            is_snapshot=is_snapshot,
            from_version=0 if is_snapshot else head.from_version,
            version=head.version,
            organization_id=head.organization_id,
            hosts=head.hosts,
            terms=head.terms,
        )


class NotGiven(BaseModel):
    """Instead of an update: the control plane does not assign this one to this node (any more), or failed to build it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["not-assigned", "failed"]
    control_plane_id: str


Answer = ConfigUpdate | NotGiven


class ControlPlane(Protocol):
    """What the agent needs from the control plane."""

    def stream(self) -> AsyncIterator[StreamMessage]:
        """Messages until the line breaks, which raises `ControlPlaneUnavailable`."""
        ...

    def fetch(self, have: Mapping[str, int | None]) -> AsyncGenerator[Answer]:
        """Updates of these control planes: a delta from the version given (or a snapshot, if the control plane
        prefers), a snapshot for None. In any order, as they come; what does not come has to be asked for again.
        """
        ...

    async def acknowledge(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        """Report results of applying. Raises `RequestRefused` too."""
        ...

    async def heartbeat(self, body: dict[str, Any]) -> None:
        """Say that this node is alive. Raises `RequestRefused` too."""
        ...

    async def report_health(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        """Say how upstreams' targets are. Raises `RequestRefused` too."""
        ...

    async def target_orders(self, after: int) -> list[TargetOrder]:
        """Orders with higher numbers, in order; of too many, the first ones."""
        ...


class _NodeAuth(httpx.Auth):
    def __init__(self, assertion: Callable[[], str]) -> None:
        self._assertion = assertion

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = f"Sluice-Node {self._assertion()}"
        yield request


class HttpControlPlane:
    """`ControlPlane` over HTTP. Proxy variables of the environment are not honoured.

    Errors of transport, status and content are all `ControlPlaneUnavailable`.
    """

    def __init__(
        self,
        api_url: str,
        assertion: Callable[[], str],
        *,
        ca_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        verify: ssl.SSLContext | bool = True
        if ca_file is not None:
            verify = ssl.create_default_context(cafile=str(ca_file))
        self._http = httpx.AsyncClient(
            base_url=api_url.rstrip("/") + "/runtime/v1",
            auth=_NodeAuth(assertion),
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
            verify=verify,
            transport=transport,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def stream(self) -> AsyncIterator[StreamMessage]:
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with _unavailable():
            async with self._http.stream("GET", "/stream", timeout=timeout) as response:
                _expect(response, 200)
                async for line in response.aiter_lines():
                    if line:
                        yield _MESSAGE.validate_json(line)
        raise ControlPlaneUnavailable("stream ended")

    async def fetch(self, have: Mapping[str, int | None]) -> AsyncGenerator[Answer]:
        items = [{"control_plane_id": key, "from_version": version} for key, version in have.items()]
        with _unavailable():
            async with self._http.stream("POST", "/configs", json={"items": items}) as response:
                _expect(response, 200)
                async for line in _lines(response.aiter_bytes()):
                    answer = _answer(line)
                    if answer is not None:
                        yield answer

    async def acknowledge(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        await self._post("/acks", {"node_id": node_id, "items": list(items)})

    async def heartbeat(self, body: dict[str, Any]) -> None:
        await self._post("/heartbeats", body)

    async def report_health(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        await self._post("/target-health", {"node_id": node_id, "items": list(items)})

    async def target_orders(self, after: int) -> list[TargetOrder]:
        with _unavailable():
            response = await self._http.get("/target-orders", params={"after": str(after)})
            _expect(response, 200)
            return TargetOrders.model_validate_json(response.content).items

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        with _unavailable():
            content = json.dumps(body, separators=(",", ":")).encode()
            response = await self._http.post(path, content=content, headers={"Content-Type": "application/json"})
            if response.status_code in {400, 413}:
                raise RequestRefused(f"status {response.status_code} from {response.request.url.path}")
            _expect(response, 204)


class _unavailable:  # noqa: N801 - reads as a statement where it is used
    """Turns everything that can go wrong on the way into `ControlPlaneUnavailable`, without bodies or headers."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
            raise ControlPlaneUnavailable(f"{type(error).__name__}: {error}") from error
        if isinstance(error, ValidationError):
            raise ControlPlaneUnavailable("an answer that is not understood") from error
        if isinstance(error, IdentityError):
            # The gateway goes on with what it has; whoever replaces the files may be in the middle of it.
            raise ControlPlaneUnavailable(str(error)) from error


async def _lines(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Without the last one if it has no end: it was cut off."""
    waiting = bytearray()
    async for part in content:
        start = len(waiting)
        waiting += part
        while 0 <= (end := waiting.find(b"\n", start)) <= MOST_UPDATE_BYTES:
            yield bytes(waiting[:end])
            del waiting[: end + 1]
            start = 0
        if len(waiting) > MOST_UPDATE_BYTES:
            raise ControlPlaneUnavailable(f"an update of more than {MOST_UPDATE_BYTES} bytes")


def _answer(line: bytes) -> Answer | None:
    """None for a line that is not understood: those after it may be."""
    try:
        return ConfigUpdate.read(line)
    except ValidationError:
        pass
    try:
        return NotGiven.model_validate_json(line)
    except ValidationError:
        log.error("config.unreadable", bytes=len(line))  # noqa: TRY400 - the text would repeat values
        return None


def _expect(response: httpx.Response, status: int) -> None:
    if response.status_code != status:
        raise ControlPlaneUnavailable(f"status {response.status_code} from {response.request.url.path}")

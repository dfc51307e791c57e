"""Playing one case: backends and a gateway of its own, then step by step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from schema.snapshot import ANY_HOST
from tests.conformance import http2
from tests.conformance.case import (
    AdvanceStep,
    BackendStep,
    Case,
    CaseError,
    ConfigureStep,
    Document,
    HealthStep,
    NamesStep,
    RecordedStep,
    ScrapedStep,
    SendStep,
    SetHealthStep,
    Step,
    parse_case,
)
from tests.conformance.certificates import case_identity
from tests.conformance.client import Connection, NoResponseError, Response, Target, proxy_header
from tests.conformance.echo import Backends, Behaviour
from tests.conformance.judge import (
    Difference,
    ReportedError,
    judge_broken_requests,
    judge_count,
    judge_figures,
    judge_health,
    judge_record,
    judge_rejection,
    judge_response,
    judge_shares,
    judge_upstream,
)
from tests.conformance.names import Names
from tests.conformance.placeholders import backends_in, substitute, url_of
from tests.conformance.receivers import KINDS, Receivers, Records
from tests.conformance.wire import values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.case import Expectation, Send
    from tests.conformance.files import CaseSource
    from tests.conformance.received import Received

ANSWER_SECONDS: Final = 30.0
# How long an expected request may take to reach a backend after the answer came; only failures wait this long.
_SETTLE_SECONDS: Final = 2.0
# How long a step may take to hold that is to do so eventually, and how often it is tried.
_EVENTUALLY_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05
# A step that is repeated a thousand times can fail a thousand times in the same way.
_MOST_SHOWN: Final = 5


class Gateway(Protocol):
    """What a case is played against."""

    def target(self, scheme: str, listener: str) -> Target:
        """Where `http` or `https` requests to a listener for `http`, for a `stream` or for `proxied` clients go."""
        ...

    async def configure(
        self, config: Document, options: Document, tenant: str = "", hosts: Sequence[str] = (ANY_HOST,)
    ) -> list[ReportedError]:
        """Apply a full configuration of a tenant; the errors for which it was refused, empty when accepted."""
        ...

    async def health(self, tenant: str = "") -> dict[str, dict[str, str]]:
        """Per upstream and target of a tenant, by name and address, what the gateway says of its health."""
        ...

    async def set_health(self, upstream: str, target: str, *, healthy: bool) -> bool:
        """Overrule the health of a target; whether there is one."""
        ...

    async def logged(self, path: str) -> bytes:
        """What is in a file that records are written to."""
        ...

    async def figures(self, tenant: str = "") -> str:
        """A tenant's figures, as Prometheus reads them."""
        ...

    async def advance(self, seconds: float) -> None:
        """Move the gateway's clock."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A difference and the step in which it was found; step 0 is before the first."""

    step: int
    doing: str
    difference: Difference


@dataclass(slots=True)
class Outcome:
    """How a case ended: `passed`, `failed` or `skipped` (then `reason` says why)."""

    source: CaseSource
    result: str
    failures: list[Failure] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0


Launch = Callable[[str | None], AbstractAsyncContextManager[Gateway]]
"""Starts a gateway that asks this name server, or the system's."""


async def play(source: CaseSource, launch: Launch) -> Outcome:
    """Play one case on a gateway from `launch`; never raises for anything that the case or the gateway does."""
    started = time.monotonic()
    if source.case is None:
        failures = [Failure(0, "reading", Difference("case", "a valid case", source.problem))]
    else:
        try:
            failures = await _play(source.document, launch)
        except CaseError as error:
            failures = [Failure(0, "reading", Difference("case", "a valid case", str(error)))]
        except OSError as error:
            failures = [Failure(0, "starting", Difference("runner", "a running gateway and backends", str(error)))]
    return Outcome(source, "failed" if failures else "passed", failures, seconds=time.monotonic() - started)


async def _play(document: Document, launch: Launch) -> list[Failure]:
    async with AsyncExitStack() as stack:
        named = backends_in(document)
        backends = await stack.enter_async_context(Backends(named - KINDS))
        receivers = await stack.enter_async_context(Receivers.serve(named & KINDS))
        addresses = backends.addresses | receivers.addresses
        certificates = {
            name: case_identity(name, tuple(wanted.names), rsa_key=wanted.key == "rsa")
            for name, wanted in parse_case(document).certificates.items()
        }
        case = parse_case(substitute(document, addresses, backends.authority, certificates))
        names = None if case.dns is None else await stack.enter_async_context(Names.serve(case.dns))
        gateway = await stack.enter_async_context(launch(names and names.address))
        player = _Player(case, gateway, backends, receivers, names)
        for tenant in ([""] if case.says("config") or not case.tenants else []) + list(case.tenants):
            errors = await player.configure(tenant, case.tenants[tenant].config if tenant else case.config)
            if errors:
                got = "; ".join(map(str, errors))
                doing = f"config of {tenant}" if tenant else "config"
                return [Failure(0, doing, Difference("configure", "accepted", f"rejected: {got}"))]
        for number, step in enumerate(case.steps, start=1):
            differences = await player.step(step)
            if differences:
                # What follows would only repeat the first failure's consequences.
                return [Failure(number, str(step), difference) for difference in differences]
    return []


def step_waits(step: Step) -> bool:
    """Whether a step is tried until it holds."""
    return isinstance(step, ScrapedStep) or (isinstance(step, SendStep | HealthStep) and step.eventually)


class _Player:
    def __init__(
        self, case: Case, gateway: Gateway, backends: Backends, receivers: Receivers, names: Names | None
    ) -> None:
        self._hosts = {name: tenant.hosts for name, tenant in case.tenants.items()} | {"": [ANY_HOST]}
        self._dns = names
        self._options = case.options.named()
        self._gateway = gateway
        self._backends = backends
        addresses = backends.addresses | receivers.addresses
        self._names = {url_of(name, address): name for name, address in addresses.items()}
        self._cookies: dict[str, str] = {}
        self._records = Records(gateway, backends.posted, receivers)

    async def configure(self, tenant: str, config: Document) -> list[ReportedError]:
        """Apply a full configuration of a tenant."""
        if tenant not in self._hosts:
            message = f"no such tenant: {tenant}"
            raise CaseError(message)
        return await self._gateway.configure(config, self._options, tenant, self._hosts[tenant])

    async def step(self, step: Step) -> list[Difference]:
        """Take a step, or one that is to hold `eventually` until it does."""
        deadline = time.monotonic() + (_EVENTUALLY_SECONDS if step_waits(step) else 0.0)
        while True:
            differences = await self._step(step)
            if not differences or time.monotonic() >= deadline:
                return differences
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _step(self, step: Step) -> list[Difference]:
        if isinstance(step, SendStep):
            return await self._send(step)
        if isinstance(step, ConfigureStep):
            return await self._configure(step)
        if isinstance(step, SetHealthStep):
            return await self._set_health(step)
        if isinstance(step, HealthStep | RecordedStep | ScrapedStep):
            return await self._look(step)
        await self._set_scene(step)
        return []

    async def _look(self, step: HealthStep | RecordedStep | ScrapedStep) -> list[Difference]:
        if isinstance(step, HealthStep):
            return judge_health(step.health, await self._gateway.health(step.tenant))
        if isinstance(step, ScrapedStep):
            return judge_figures(step.scraped, step.lacks, await self._gateway.figures(step.tenant))
        receiver = self._names.get(step.recorded, step.recorded)
        return judge_record(step, await self._records.next(receiver, _EVENTUALLY_SECONDS))

    async def _set_scene(self, step: AdvanceStep | BackendStep | NamesStep) -> None:
        if isinstance(step, AdvanceStep):
            await self._gateway.advance(step.advance_seconds)
        elif isinstance(step, BackendStep):
            name = self._names.get(step.backend)
            if name is None:
                message = f"no such backend: {step.backend}"
                raise CaseError(message)
            await self._backends.behave(name, Behaviour(step.does, step.status, step.delay_ms))
        elif self._dns is None:
            raise CaseError("the case has no name server: it needs dns")
        else:
            self._dns.say(step.dns)

    async def _send(self, step: SendStep) -> list[Difference]:
        start = len(self._backends.record.requests)
        if step.parallel is not None:
            differences = await self._at_once(step, step.parallel)
        else:
            differences = await self._in_turn(step)
        requests = self._backends.record.requests[start:]
        return differences + judge_shares(step.expect, requests, self._names) + judge_broken_requests(requests)

    async def _set_health(self, step: SetHealthStep) -> list[Difference]:
        return [
            Difference(f"target {target} of {upstream}", "known to the gateway", "unknown")
            for upstream, targets in step.set_health.items()
            for target, healthy in targets.items()
            if not await self._gateway.set_health(upstream, target, healthy=healthy)
        ]

    async def _configure(self, step: ConfigureStep) -> list[Difference]:
        errors = await self.configure(step.tenant, step.configure)
        if step.expect == "accepted":
            got = "; ".join(map(str, errors))
            return [Difference("configure", "accepted", f"rejected: {got}")] if errors else []
        return judge_rejection(step.errors, errors) if errors else [Difference("configure", "rejected", "accepted")]

    async def _in_turn(self, step: SendStep) -> list[Difference]:
        differences: list[Difference] = []
        statuses: list[int] = []
        connection: Connection | None = None
        async with AsyncExitStack() as stack:
            for number in range(1, (step.repeat or 1) + 1):
                start = len(self._backends.record.requests)
                response, connection = await self._exchange(step.numbered(number), stack, connection)
                found = self._judge(step, response) + await self._reached(step, start, 1)
                label = f"request {number} of {step.repeat}: " if step.repeat else ""
                if len(differences) < _MOST_SHOWN:
                    differences += [Difference(f"{label}{item.what}", item.expected, item.got) for item in found]
                statuses.append(response.status if isinstance(response, Response) else 0)
        return differences + judge_count(step.expect, statuses)

    async def _at_once(self, step: SendStep, count: int) -> list[Difference]:
        start = len(self._backends.record.requests)

        async def one(number: int) -> Response | str:
            async with AsyncExitStack() as stack:
                return (await self._exchange(step.numbered(number), stack, None))[0]

        responses = await asyncio.gather(*map(one, range(1, count + 1)))
        differences = [item for response in responses for item in self._judge(step, response)]
        differences += await self._reached(step, start, count)
        statuses = [response.status if isinstance(response, Response) else 0 for response in responses]
        return list(dict.fromkeys(differences)) + judge_count(step.expect, statuses)

    async def _exchange(
        self, send: Send, stack: AsyncExitStack, connection: Connection | None
    ) -> tuple[Response | str, Connection | None]:
        """An answer, or why there is none, and the connection that may carry the next request."""
        response, connection = await self._ask(send, stack, connection)
        for line in values_of(response.headers, "set-cookie") if isinstance(response, Response) else []:
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = value
        return response, connection

    async def _ask(
        self, send: Send, stack: AsyncExitStack, connection: Connection | None
    ) -> tuple[Response | str, Connection | None]:
        if send.cookies:
            cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            send = send.model_copy(update={"headers": send.headers | ({"Cookie": cookie} if cookie else {})})
        target = self._gateway.target(send.scheme, send.listener)
        if send.proxied is not None:
            target = replace(target, before=proxy_header(send.proxied))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if send.version == "2":
                    return await http2.exchange(target, send), None
                if connection is None:
                    opened = await Connection.open(target, send.source, send.sni)
                    connection = await stack.enter_async_context(opened)
                response = await connection.exchange(send)
                return response, connection if connection.reusable else None
        except NoResponseError as error:
            return str(error), None
        except TimeoutError:
            return f"no complete answer within {ANSWER_SECONDS:g} s", None

    def _judge(self, step: SendStep, response: Response | str) -> list[Difference]:
        if not step.expect.answer:
            return [] if isinstance(response, str) else [Difference("answer", "none", f"status {response.status}")]
        if isinstance(response, str):
            return [Difference("answer", _wanted(step.expect), response)]
        breaks_off = any(
            name.lower() == "x-echo-close" and value == "mid-body" for name, value in step.send.headers.items()
        )
        return judge_response(step.expect, response, may_break_off=breaks_off)

    async def _reached(self, step: SendStep, start: int, count: int) -> list[Difference]:
        if not step.expect.says("upstream"):
            return []
        wanted = count if step.expect.upstream is not None else 0
        requests: Sequence[Received] = await self._backends.record.settle(start, wanted, _SETTLE_SECONDS)
        return judge_upstream(step.expect.upstream, requests, count, self._names)


def _wanted(expect: Expectation) -> str:
    if expect.status is None:
        return "an answer"
    return f"status {cast('object', expect.status)}"

"""Playing one case: backends and a gateway of its own, then step by step."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from tests.conformance import http2
from tests.conformance.case import (
    AdvanceStep,
    BackendStep,
    Case,
    CaseError,
    ConfigureStep,
    Document,
    HealthStep,
    SendStep,
    SetHealthStep,
    Step,
    parse_case,
)
from tests.conformance.certificates import case_identity
from tests.conformance.client import Connection, NoResponseError, Response, Target
from tests.conformance.echo import Backends, Behaviour
from tests.conformance.judge import (
    Difference,
    ReportedError,
    judge_broken_requests,
    judge_count,
    judge_health,
    judge_rejection,
    judge_response,
    judge_shares,
    judge_upstream,
)
from tests.conformance.placeholders import backends_in, substitute, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from tests.conformance.case import Expectation, Send
    from tests.conformance.files import CaseSource
    from tests.conformance.received import Received

ANSWER_SECONDS: Final = 30.0
# How long an expected request may take to reach a backend after the answer came; only failures wait this long.
_SETTLE_SECONDS: Final = 2.0
# A step that is repeated a thousand times can fail a thousand times in the same way.
_MOST_SHOWN: Final = 5


class Gateway(Protocol):
    """What a case is played against."""

    def target(self, scheme: str, listener: str) -> Target:
        """Where `http` or `https` requests to a listener for `http` or for a `stream` go."""
        ...

    async def configure(self, config: Document, options: Document) -> list[ReportedError]:
        """Apply a full configuration; the errors for which it was refused, empty when accepted."""
        ...

    async def health(self) -> dict[str, dict[str, str]]:
        """Per upstream and target, by name and address, what the gateway says of its health."""
        ...

    async def set_health(self, upstream: str, target: str, *, healthy: bool) -> bool:
        """Overrule the health of a target; whether there is one."""
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


async def play(source: CaseSource, launch: Callable[[], AbstractAsyncContextManager[Gateway]]) -> Outcome:
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


async def _play(document: Document, launch: Callable[[], AbstractAsyncContextManager[Gateway]]) -> list[Failure]:
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(Backends(backends_in(document)))
        certificates = {
            name: case_identity(name, tuple(wanted.names), rsa_key=wanted.key == "rsa")
            for name, wanted in parse_case(document).certificates.items()
        }
        case = parse_case(substitute(document, backends.addresses, backends.authority, certificates))
        gateway = await stack.enter_async_context(launch())
        errors = await gateway.configure(case.config, case.options.named())
        if errors:
            got = "; ".join(map(str, errors))
            return [Failure(0, "config", Difference("configure", "accepted", f"rejected: {got}"))]
        player = _Player(case, gateway, backends)
        for number, step in enumerate(case.steps, start=1):
            differences = await player.step(step)
            if differences:
                # What follows would only repeat the first failure's consequences.
                return [Failure(number, str(step), difference) for difference in differences]
    return []


class _Player:
    def __init__(self, case: Case, gateway: Gateway, backends: Backends) -> None:
        self._options = case.options.named()
        self._gateway = gateway
        self._backends = backends
        self._names = {url_of(name, address): name for name, address in backends.addresses.items()}

    async def step(self, step: Step) -> list[Difference]:
        if isinstance(step, AdvanceStep):
            await self._gateway.advance(step.advance_seconds)
            return []
        if isinstance(step, ConfigureStep):
            return await self._configure(step)
        if isinstance(step, BackendStep):
            name = self._names.get(step.backend)
            if name is None:
                message = f"no such backend: {step.backend}"
                raise CaseError(message)
            await self._backends.behave(name, Behaviour(step.does, step.status, step.delay_ms))
            return []
        if isinstance(step, HealthStep):
            return judge_health(step.health, await self._gateway.health())
        if isinstance(step, SetHealthStep):
            return await self._set_health(step)
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
        errors = await self._gateway.configure(step.configure, self._options)
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
        target = self._gateway.target(send.scheme, send.listener)
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

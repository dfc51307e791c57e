"""Brings the groups of one gateway configuration to where they should be.

A group that is wanted is assigned to its region's runtimes and is ready once a live one runs at least the version that the
control plane had then. A group that has to end is withdrawn, and is gone once no live runtime reports it any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core import logging
from core.clock import Clock
from core.db.engine import Database
from core.db.sessions import SystemSession
from core.gateways import pools
from core.gateways.pools import ConfigurationFacts, GroupFacts, PoolFacts
from core.gateways.states import PENDING, REFUSED, ReportedStatus
from core.models.gateway_configuration import GatewayConfiguration

log = logging.get_logger("workers.reconcile.gateway_configuration")

MOST_ROUNDS: Final = 5
"""Each round can make the next one possible; what is left after these waits for news from outside."""


@dataclass(frozen=True, slots=True)
class Assign:
    """Have the region's runtimes serve the group."""

    group_id: UUID
    region: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Have the region's runtimes serve the group no longer."""

    group_id: UUID
    region: str


@dataclass(frozen=True, slots=True)
class MarkReady:
    """A runtime has confirmed the group."""

    group_id: UUID


@dataclass(frozen=True, slots=True)
class Delete:
    """Nobody serves the group any more."""

    group_id: UUID


@dataclass(frozen=True, slots=True)
class Report:
    """Say why nothing can be done now; changes nothing else."""

    group_id: UUID
    status: ReportedStatus
    reason: str


@dataclass(frozen=True, slots=True)
class MarkObserved:
    """Everything that was stated is so."""


Step = Assign | Withdraw | MarkReady | Delete | Report | MarkObserved


def plan(facts: ConfigurationFacts) -> list[Step]:
    """The steps that can be taken now. Empty: all is as it should be. Only reports that say something new are made."""
    steps: list[Step] = []
    for group in facts.groups:
        step = _step(group, facts.pools.get(group.region, PoolFacts(0)))
        if isinstance(step, Report) and step.reason == group.reason:
            continue
        if step is not None:
            steps.append(step)
    if not steps and facts.observed_version < facts.entity_version and _settled(facts.groups):
        steps.append(MarkObserved())
    return steps


def _step(group: GroupFacts, pool: PoolFacts) -> Step | None:
    match group.state:
        case "created" | "initializing":
            return _towards_ready(group, pool)
        case "terminating":
            return _towards_gone(group, pool)
        case "terminated":
            return Delete(group.id)
        case _:
            return None


def _towards_ready(group: GroupFacts, pool: PoolFacts) -> Step:
    assigned = group.assigned_version
    if assigned is None:
        return Assign(group.id, group.region)
    if any(report.running_version is not None and report.running_version >= assigned for report in pool.reports):
        return MarkReady(group.id)
    if pool.live_nodes == 0:
        return Report(group.id, PENDING, f"No gateway of region {group.region} is running at the moment.")
    refused = [report for report in pool.reports if not report.accepted and report.version >= assigned]
    if refused:
        reason = f"The gateways of region {group.region} refuse version {refused[0].version}: {refused[0].first_error}"
        return Report(group.id, REFUSED, reason)
    return Report(group.id, PENDING, f"Waiting for a gateway of region {group.region} to confirm version {assigned}.")


def _towards_gone(group: GroupFacts, pool: PoolFacts) -> Step:
    if group.assigned_version is not None:
        return Withdraw(group.id, group.region)
    if pool.reports:
        return Report(group.id, PENDING, f"Waiting for the gateways of region {group.region} to let go.")
    return Delete(group.id)


def _settled(groups: Sequence[GroupFacts]) -> bool:
    return all(group.state == "ready" for group in groups)


def reconcile(database: Database, clock: Clock, org_id: UUID, configuration_id: UUID) -> int:
    """Take every step that can be taken now. Safe to run twice, late or at once: the configuration's row is held meanwhile,
    and everything happens in one transaction.

    Returns: how many steps were taken; 0 also when the configuration is gone.
    """
    with database.system() as session:
        configuration = pools.lock_configuration(session, org_id, configuration_id)
        if configuration is None:
            return 0
        taken = 0
        for _ in range(MOST_ROUNDS):
            steps = plan(pools.observe(session, configuration))
            for step in steps:
                _take(session, configuration, clock, step)
                log.info("step.taken", step=type(step).__name__, configuration_id=str(configuration_id))
            taken += len(steps)
            if not steps:
                break
        return taken


def _take(session: SystemSession, configuration: GatewayConfiguration, clock: Clock, step: Step) -> None:
    match step:
        case Assign(group_id, region):
            pools.assign(session, configuration, group_id, region)
        case Withdraw(group_id, region):
            pools.withdraw(session, configuration, group_id, region)
        case MarkReady(group_id):
            pools.mark_ready(session, configuration, group_id, clock.now())
        case Delete(group_id):
            pools.delete_group(session, configuration, group_id)
        case Report(group_id, status, reason):
            pools.report_waiting(session, configuration, group_id, status, reason, clock.now())
        case MarkObserved():
            pools.mark_observed(session, configuration)

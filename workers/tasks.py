"""The tasks by name. Names on the left of a dot are nouns; the outbox uses them as topics."""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from core import logging
from core.gateways import pools
from core.gateways.topics import RECONCILE_CONFIGURATION
from workers import retention
from workers.reconcile import gateway_configuration, pool
from workers.task import BaseTask
from workers.toolbox import Toolbox, ToolboxSource

RECONCILE_POOL: Final = "pool.reconcile"
SWEEP_CONFIGURATIONS: Final = "gateway_configuration.sweep"
SWEEP_POOLS: Final = "pool.sweep"
PRUNE: Final = "history.prune"
SWEEP_ENDED: Final = "entities.sweep"

QUEUES: Final = {
    RECONCILE_CONFIGURATION: "configurations",
    RECONCILE_POOL: "pools",
    SWEEP_CONFIGURATIONS: "sweeps",
    SWEEP_POOLS: "sweeps",
    PRUNE: "sweeps",
    SWEEP_ENDED: "sweeps",
}
"""A queue per kind: slow work of one kind does not stand before quick work of another."""

SWEEP_SECONDS: Final = 2.0
PRUNE_SECONDS: Final = 600.0
ENDED_SECONDS: Final = 30.0
KEPT_SECONDS: Final = 30.0
"""How long a sweep may wait for a worker. Sender and worker compare their own clocks, so it has to be longer than they differ."""
MOST_PER_SWEEP: Final = 200
CHANCE_OF_THE_OLD: Final = 0.05
"""Configurations that have waited for over a minute are looked at in one of twenty sweeps."""

log = logging.get_logger("workers.tasks")


def register(app: Celery, toolboxes: ToolboxSource) -> None:
    """Define the tasks on an application."""

    def reconcile_configuration(org_id: str, configuration_id: str) -> None:
        tools = toolboxes.get()
        gateway_configuration.reconcile(tools.database, tools.clock, UUID(org_id), UUID(configuration_id))

    def sweep_configurations() -> None:
        _sweep_configurations(toolboxes.get())

    def reconcile_pool(region: str) -> None:
        tools = toolboxes.get()
        settings = tools.settings.region(region)
        if settings is not None:
            pool.reconcile(tools.database, tools.driver, pool.wanted(tools.settings, settings))

    def sweep_pools() -> None:
        tools = toolboxes.get()
        for region in tools.settings.listening_regions:
            # A region each, for a start takes seconds; but a task only where there is something to do.
            if not pool.is_settled(tools.driver, pool.wanted(tools.settings, region)):
                send(app, RECONCILE_POOL, [region.name], expires_seconds=KEPT_SECONDS)
        pool.end_unwanted(tools.database, tools.driver, tools.settings)

    for name, function in (
        (RECONCILE_CONFIGURATION, reconcile_configuration),
        (SWEEP_CONFIGURATIONS, sweep_configurations),
        (RECONCILE_POOL, reconcile_pool),
        (SWEEP_POOLS, sweep_pools),
        (PRUNE, _with_tools(toolboxes, _prune)),
        (SWEEP_ENDED, _with_tools(toolboxes, _sweep_ended)),
    ):
        app.task(name=name, base=BaseTask)(function)


def _with_tools(toolboxes: ToolboxSource, work: Callable[[Toolbox], None]) -> Callable[[], None]:
    def run() -> None:
        work(toolboxes.get())

    return run


def _prune(tools: Toolbox) -> None:
    retention.prune(tools.database, tools.clock)


def _sweep_ended(tools: Toolbox) -> None:
    retention.sweep_ended(tools.database, tools.keyring, tools.clock)


def _sweep_configurations(tools: Toolbox) -> None:
    with tools.database.system() as session:
        found = pools.unconverged(session, MOST_PER_SWEEP, CHANCE_OF_THE_OLD)
    for org_id, configuration_id in found:
        try:
            gateway_configuration.reconcile(tools.database, tools.clock, org_id, configuration_id)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # one that always fails must not keep the others from being looked at
            log.exception("sweep.configuration_failed", org_id=str(org_id), configuration_id=str(configuration_id))


def send(
    app: Celery, name: str, arguments: Sequence[str], *, org_id: str | None = None, expires_seconds: float | None = None
) -> None:
    """Hand a task to the broker. Raises kombu's OperationalError: it cannot be reached."""
    headers = {} if org_id is None else {"org_id": org_id}
    app.send_task(
        name,
        args=list(arguments),
        queue=QUEUES[name],
        headers=headers,
        expires=expires_seconds,
        retry=False,
        ignore_result=True,
    )

"""Keeps the runtimes of a region running: serverless pools are always warm, whether somebody uses them or not."""

import os
from dataclasses import dataclass
from typing import Final

from core import logging
from core.db.engine import Database
from core.db.leases import lease
from core.settings import RegionSettings, Settings
from workers.drivers.base import Driver, DriverError, Observed, Pool

log = logging.get_logger("workers.reconcile.pool")

LEASE_SECONDS: Final = 30.0
"""Longer than a start may take; a worker that is killed in the middle holds up its region for so long."""
STOP_LEASE_SECONDS: Final = 60.0
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Renew certificates where due."""


@dataclass(frozen=True, slots=True)
class Start:
    """Have it run with the wanted settings."""


Step = Prepare | Start


def plan(observed: Observed) -> list[Step]:
    """The steps towards a running pool."""
    if observed.condition == "foreign":
        return []
    if observed.condition == "absent" or observed.outdated:
        return [Prepare(), Start()]
    return [Prepare()] if observed.worn else []


def wanted(settings: Settings, region: RegionSettings) -> Pool:
    """The pool of a region (ports with the offset applied)."""
    return Pool(
        region=region.name,
        http_address=f"{LOOPBACK}:{region.http_port}",
        https_address=f"{LOOPBACK}:{region.https_port}",
        status_address=f"{LOOPBACK}:{region.status_port}",
        api_url=settings.api_url,
        public_http_port=region.public_http_port,
        public_https_port=region.public_https_port,
        proxy_protocol=region.proxy_protocol,
    )


def is_settled(driver: Driver, pool: Pool) -> bool:
    """Whether there is nothing to do for the pool. Takes no lease and changes nothing."""
    try:
        return not plan(driver.observe(pool))
    except DriverError:
        return False


def reconcile(database: Database, driver: Driver, pool: Pool) -> bool:
    """Bring one region's pool about. Safe to run twice, late or at once.

    A pool that is as it should be, which is nearly always, costs a look and no lease.

    Returns: whether nothing is left to be done by others: false while somebody else holds the lease, or the driver failed.
    """
    try:
        if not plan(driver.observe(pool)):
            return True
        with lease(database, f"pool:{pool.region}", f"worker-{os.getpid()}", LEASE_SECONDS) as held:
            if not held:
                return False
            for step in plan(driver.observe(pool)):
                match step:
                    case Prepare():
                        driver.prepare(pool)
                    case Start():
                        driver.start(pool)
            return True
    except DriverError as error:
        log.error("pool.failed", region=pool.region, reason=str(error))  # noqa: TRY400 - the message says it all
        return False


def end_unwanted(database: Database, driver: Driver, settings: Settings) -> None:
    """Stop what runs for regions that are not configured any more."""
    names = {region.name for region in settings.regions}
    for region in driver.regions():
        if region in names:
            continue
        with lease(database, f"pool:{region}", f"worker-{os.getpid()}", STOP_LEASE_SECONDS) as held:
            if held:
                driver.stop(region)

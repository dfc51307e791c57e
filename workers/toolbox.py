"""What tasks work with; made anew in each process, because neither connections nor threads survive a fork."""

import os
from dataclasses import dataclass
from typing import Final

from core.clock import Clock, SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.runtime.node_ca import NodeCa
from core.settings import Settings
from workers.drivers.base import Driver
from workers.drivers.external import ExternalDriver
from workers.drivers.process import ProcessDriver

POOL_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The services of one worker process."""

    settings: Settings
    database: Database
    keyring: KeyRing
    driver: Driver
    clock: Clock


class ToolboxSource:
    """Gives each process its own toolbox, on first use.

    Raises: SettingsError: at construction, when a setting that the workers need is missing or unusable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._driver = make_driver(settings, self._clock)
        self._url = settings.require_database_url()
        self._keyring = KeyRing(settings.require_master_key())
        self._made: tuple[int, Toolbox] | None = None

    def get(self) -> Toolbox:
        """The toolbox of the calling process."""
        pid = os.getpid()
        if self._made is None or self._made[0] != pid:
            database = Database(self._url, pool_size=POOL_SIZE)
            self._made = (pid, Toolbox(self._settings, database, self._keyring, self._driver, self._clock))
        return self._made[1]


def make_driver(settings: Settings, clock: Clock) -> Driver:
    """The driver that the settings name. Raises SettingsError: it lacks what it needs."""
    if settings.driver == "external":
        return ExternalDriver()
    node_ca = NodeCa.load(settings.node_ca_cert_file, settings.node_ca_key_file)
    return ProcessDriver(settings.state_dir, node_ca, clock)

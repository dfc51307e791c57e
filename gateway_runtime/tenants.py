"""What the agent knows about each control plane."""

from dataclasses import dataclass, field

from gateway_runtime.backoff import Backoff
from gateway_runtime.client import ConfigUpdate
from gateway_runtime.pace import Pace
from schema.snapshot import EMPTY_CONFIG_HASH


@dataclass(slots=True)
class Tenant:
    """One control plane as this node knows it.

    Attributes:
        wanted, held, refused: versions: the newest that was announced, the one that runs, the newest that the engine refused.
        outdated: what runs differs from what is to run although its version does not say so: other hosts, other terms, or
            a control plane that went back to a backup.
        hosts, terms, config_hash: those of what runs.
        cache_wanted: the journal on disk has to begin anew with a snapshot.
        waits: its next step is due later, at its pace.
    """

    organization_id: str = ""
    assigned: bool = False
    wanted: int = 0
    held: int | None = None
    refused: int | None = None
    outdated: bool = False
    hosts: tuple[str, ...] = ()
    terms: str = ""
    config_hash: str = EMPTY_CONFIG_HASH
    cache_wanted: bool = False
    pace: Pace = field(default_factory=Pace)
    waits: bool = False
    retry: Backoff = field(default_factory=lambda: Backoff(0.05, 4.0))

    @property
    def behind(self) -> bool:
        """There is something to be had, and it is not what was refused already."""
        newer = self.held is None or self.held < self.wanted or self.outdated
        return self.assigned and newer and self.refused != self.wanted

    def now_runs(self, update: ConfigUpdate) -> None:
        """The engine has taken an update."""
        self.held, self.refused = update.version, None
        self.wanted = max(self.wanted, update.version)
        self.hosts, self.terms = update.hosts, update.terms
        self.config_hash = update.config_hash


class Asked:
    """A question about one control plane: how it stood then.

    `wanted` is the version that was announced by then. What is fetched now is newer than whatever said that it is outdated,
    so that is taken back; who says so meanwhile means the next one.
    """

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.wanted = tenant.wanted
        self._held = tenant.held
        self._outdated = tenant.outdated
        self._whole = tenant.cache_wanted
        tenant.outdated = False

    def in_vain(self) -> None:
        """Nothing was learnt."""
        self.tenant.outdated |= self._outdated

    @property
    def has_helped(self) -> bool:
        """The control plane is further than before, or knows how to get there."""
        now, before = (self.tenant.held, self.tenant.outdated), (self._held, self._outdated)
        return now != before or not self.tenant.behind or (self.tenant.cache_wanted and not self._whole)

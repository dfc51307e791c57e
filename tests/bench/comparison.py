"""What the proxy comparison makes of its measurements.

Machines get faster and slower within seconds, so a ratio is taken within each round, of neighbours in time, and its median
counts; the ratio of two medians would compare different moments.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench.report import table
from tests.bench.scene import Bar

if TYPE_CHECKING:
    from tests.bench.processes import Usage

OWN = "sluice"
YARDSTICKS = ("nginx", "nginx+lua", OWN)
"""Who sets the fixed rate of the latency measurement: the slowest of these."""
_BARE = {"plain": "bare", "wide": "bare", "auth": "bare", "plain-tls": "bare-tls", "auth-tls": "bare-tls"}
"""The job that a job adds plugins to."""
_CPU_BARS = {
    "bare": ("nginx", 1.0),
    "bare-tls": ("nginx", 1.0),
    "auth": ("nginx+lua", 0.8),
    "auth-tls": ("nginx+lua", 0.8),
}
_PLUGIN_COST_BAR = 1.10
_COLUMNS = ("CPU µs/request", "range", "x nginx", "x nginx+lua", "x own bare", "requests/s", "p50 µs", "p99 µs")
_PACED_COLUMNS = ("paced p50", "paced p99", "RSS MB")


@dataclass(slots=True)
class Series:
    """All measurements of one engine in one variant, a value per round."""

    cpu_us: list[float] = field(default_factory=list)
    rps: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    paced_p50_us: list[float] = field(default_factory=list)
    paced_p99_us: list[float] = field(default_factory=list)

    def take(self, answer: dict[str, Any], before: Usage, after: Usage) -> None:
        """A report of the load generator, and what its engine had used before and after."""
        self.cpu_us.append((after.cpu_seconds - before.cpu_seconds) * 1e6 / answer["requests"])
        self.rps.append(answer["rps"])
        self.p50_us.append(answer["latency_us"]["p50"])
        self.p99_us.append(answer["latency_us"]["p99"])
        self.resident_mb.append(after.resident_bytes / 1e6)

    def take_paced(self, answer: dict[str, Any]) -> None:
        """A report of the load generator at the fixed rate."""
        self.paced_p50_us.append(answer["latency_us"]["p50"])
        self.paced_p99_us.append(answer["latency_us"]["p99"])

    def medians(self) -> dict[str, float]:
        """Median of each figure over the rounds."""
        figures = {
            "cpu_us_per_request": self.cpu_us,
            "rps": self.rps,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "paced_p50_us": self.paced_p50_us,
            "paced_p99_us": self.paced_p99_us,
            "rss_mb": self.resident_mb,
        }
        return {name: round(statistics.median(values), 2) for name, values in figures.items()}


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the ratios of each round; both lists have a value per round and are not empty."""
    return round(statistics.median(own / other for own, other in zip(ours, theirs, strict=True)), 3)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All series, by variant and engine."""

    series: dict[str, dict[str, Series]]

    def _ratios(self, variant: str, engine: str) -> dict[str, float]:
        """CPU per request of an engine over that of others in the same job, and over its own without plugins."""
        field_of = self.series[variant]
        cpu_us = field_of[engine].cpu_us
        over = {f"cpu_over_{name}": ratio(cpu_us, field_of[name].cpu_us) for name in YARDSTICKS[:2] if name in field_of}
        bare = self.series.get(_BARE.get(variant, ""), {}).get(engine)
        return over if bare is None else over | {"cpu_over_bare": ratio(cpu_us, bare.cpu_us)}

    def table(self, variant: str) -> str:
        """One variant for people, the cheapest engine first."""
        medians = {name: one.medians() for name, one in self.series[variant].items()}
        rows: list[list[str]] = []
        for name, figures in sorted(medians.items(), key=lambda item: item[1]["cpu_us_per_request"]):
            cpu_us = self.series[variant][name].cpu_us
            ratios = self._ratios(variant, name)
            over = [ratios.get(f"cpu_over_{whom}") for whom in ("nginx", "nginx+lua", "bare")]
            row = [name, f"{figures.pop('cpu_us_per_request'):.1f}", f"{min(cpu_us):.1f}-{max(cpu_us):.1f}"]
            row += ["-" if value is None else f"{value:.2f}" for value in over]
            rows.append(row + [f"{value:.0f}" for value in figures.values()])
        return table(["engine", *_COLUMNS, *_PACED_COLUMNS], rows)

    def document(self, variant: str) -> dict[str, Any]:
        """One variant as JSON."""
        engines = self.series[variant]
        return {
            "medians": {name: one.medians() | self._ratios(variant, name) for name, one in engines.items()},
            "rounds": {
                name: {
                    "cpu_us_per_request": [round(value, 2) for value in one.cpu_us],
                    "paced_p99_us": one.paced_p99_us,
                }
                for name, one in engines.items()
            },
        }

    def bars(self) -> list[Bar]:
        """What Sluice is held to, as far as those it is compared with were measured."""
        bars: list[Bar] = []
        for variant, engines in self.series.items():
            if OWN not in engines:
                continue
            ratios = self._ratios(variant, OWN)
            whom, most = _CPU_BARS.get(variant, ("", 0.0))
            if (measured := ratios.get(f"cpu_over_{whom}")) is not None:
                bars.append(Bar(f"{variant}: CPU per request", measured, most, f"x {whom}"))
            if whom in engines:
                paced = ratio(engines[OWN].paced_p99_us, engines[whom].paced_p99_us)
                bars.append(Bar(f"{variant}: p99 at the fixed rate", paced, 1.0, f"x {whom}"))
            if variant.startswith("auth") and "cpu_over_bare" in ratios:
                bars.append(Bar(f"{variant}: plugins", ratios["cpu_over_bare"], _PLUGIN_COST_BAR, "x own bare"))
        return bars

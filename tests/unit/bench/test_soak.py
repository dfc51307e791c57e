from __future__ import annotations

import pytest

from tests.bench.soak import BOUNDS, Watch, judge

pytestmark = pytest.mark.unit


def watch(growth_per_second: float, spikes: bool) -> Watch:
    """Samples of every figure: 100, growing after a minute that tells nothing, every tenth one far off."""
    samples: list[tuple[float, dict[str, float]]] = []
    for at in range(0, 600, 2):
        value = 10.0 if at < 60 else 100 + growth_per_second * at + (500 if spikes and at % 20 == 0 else 0)
        samples.append((float(at), dict.fromkeys(BOUNDS, value)))
    return Watch(samples)


@pytest.mark.parametrize("spikes", [False, True])
def test_what_stays_is_within_every_bound(spikes: bool) -> None:
    assert all(verdict.met and abs(verdict.grew) < 0.01 for verdict in judge(watch(0.0, spikes), 60))


@pytest.mark.parametrize("spikes", [False, True])
def test_what_grows_is_found(spikes: bool) -> None:
    found = {verdict.name: verdict for verdict in judge(watch(0.1, spikes), 60)}
    assert found["rss_mb"].grew == pytest.approx(53.8, rel=0.05)
    assert not found["rss_mb"].met
    assert not found["descriptors"].met
    assert found["buffered_bytes"].met

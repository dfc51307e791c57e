import pytest

from core.settings import RegionSettings, Settings
from workers.drivers.base import Observed
from workers.reconcile.pool import Prepare, Start, Step, plan, wanted


@pytest.mark.parametrize(
    ("observed", "steps"),
    [
        (Observed("absent"), [Prepare(), Start()]),
        (Observed("running", outdated=True), [Prepare(), Start()]),
        (Observed("running", worn=True), [Prepare()]),
        (Observed("running"), []),
        (Observed("foreign"), []),
    ],
)
def test_plan(observed: Observed, steps: list[Step]) -> None:
    assert plan(observed) == steps


def test_wanted_pool_is_behind_its_balancer() -> None:
    region = RegionSettings(
        name="us", http_port=8000, https_port=8443, status_port=8010, public_https_port=443, proxy_protocol=True
    )
    pool = wanted(Settings(), region)
    assert (pool.public_http_port, pool.public_https_port, pool.proxy_protocol) == (None, 443, True)


def test_wanted_pool_has_the_shifted_ports() -> None:
    settings = Settings(port_offset=100)
    pool = wanted(settings, settings.listening_regions[1])
    assert (pool.region, pool.http_address, pool.https_address) == ("eu", "127.0.0.1:8200", "127.0.0.1:8643")

"""The engines of the comparison, each set up to do the same job with as little else as its configuration allows."""

from tests.bench.rivals import envoy, haproxy, nginx, relay, sluice
from tests.bench.rivals.job import Proxy

PROXIES: tuple[Proxy, ...] = (
    sluice.PROXY,
    nginx.PLAIN,
    nginx.WITH_LUA,
    haproxy.PROXY,
    envoy.PROXY,
    relay.PROXY,
)

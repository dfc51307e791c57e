"""Command line of the benchmarks: one of them, or all. Prints tables and writes JSON below bench-results/."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import api, churn, credentials, density, plugins, proxy, ready, router, start
from tests.bench.processes import BenchError

RESULTS = Path(__file__).parents[2] / "bench-results"
BENCHES = ("proxy", "ready", "density", "churn", "start", "router", "credentials", "plugins", "api")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=[*BENCHES, "all"], default="all")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of proxy, density and churn, things to compare taking turns"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive connections")
    parser.add_argument("--engines", default="", help="only these, comma separated; nginx is the yardstick")
    parser.add_argument("--variants", default=",".join(proxy.JOBS), help="jobs of the proxy comparison, see README.md")
    parser.add_argument("--plugins", default="", help="only these plugins, comma separated")
    parser.add_argument("--runs", type=int, default=200, help="runs of the readiness measurement")
    parser.add_argument("--tenants", type=int, default=10_000, help="idle tenants of density")
    parser.add_argument("--entities", type=int, default=10_000, help="entities of churn's tenant")
    parser.add_argument("--gateways", type=int, default=500, help="serverless gateways of start")
    parser.add_argument("--most", type=int, default=api.SIZES[-1], help="entities of the largest control plane of api")
    options = parser.parse_args(words)
    try:
        if options.what in {"proxy", "all"}:
            plan = proxy.Plan(
                rounds=options.rounds,
                seconds=options.seconds,
                connections=options.connections,
                engines=tuple(filter(None, options.engines.split(","))),
                variants=tuple(filter(None, options.variants.split(","))),
            )
            proxy.run(plan, RESULTS)
        if options.what in {"ready", "all"}:
            ready.run(options.runs, RESULTS)
        if options.what in {"density", "all"}:
            density.run(density.Plan(idle=options.tenants, rounds=options.rounds, seconds=options.seconds), RESULTS)
        if options.what in {"churn", "all"}:
            churn.run(churn.Plan(entities=options.entities, rounds=options.rounds, seconds=options.seconds), RESULTS)
        if options.what in {"start", "all"}:
            start.run(options.gateways, RESULTS)
        if options.what in {"router", "all"}:
            router.run(RESULTS)
        if options.what in {"credentials", "all"}:
            credentials.run(RESULTS)
        if options.what in {"plugins", "all"}:
            names = tuple(filter(None, options.plugins.split(",")))
            plugins.run(plugins.Plan(rounds=options.rounds, seconds=options.seconds, plugins=names), RESULTS)
        if options.what in {"api", "all"}:
            api.run(options.seconds, options.most, RESULTS)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

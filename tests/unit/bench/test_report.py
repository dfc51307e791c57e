from __future__ import annotations

import pytest

from tests.bench.processes import BenchError
from tests.bench.proxy import Plan
from tests.bench.report import quantile, table

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("count", "share", "value"),
    [
        (1, 0.5, 1),
        (2, 0.5, 1),
        (3, 0.5, 2),
        (100, 0.5, 50),
        (100, 0.99, 99),
        (200, 0.99, 198),
        (200, 1.0, 200),
        (10, 0.99, 10),
    ],
)
def test_quantiles(count: int, share: float, value: int) -> None:
    assert quantile(list(range(count, 0, -1)), share) == value


def test_columns_line_up() -> None:
    assert table(["name", "n"], [["a", "10"], ["longer", "9"]]).splitlines() == [
        "name     n",
        "------  --",
        "a       10",
        "longer   9",
    ]


@pytest.mark.parametrize(
    "plan",
    [
        Plan(rounds=0),
        Plan(seconds=0),
        Plan(seconds=600),
        Plan(connections=0),
        Plan(engines=("apache",)),
        Plan(variants=("odd",)),
    ],
)
def test_plans_have_bounds(plan: Plan) -> None:
    with pytest.raises(BenchError):
        plan.check()

"""Measurements: `python -m tests.bench proxy|ready|all`. Figures are ratios within one run on one machine."""

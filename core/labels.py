"""What is known about labels wherever they are kept."""

from typing import Final

MOST_LABELS: Final = 50
"""Pairs on one thing. Source: the Labels component of the published Konnect API documents."""

"""Names of the jobs about gateways, as the outbox and the workers know them."""

from typing import Final

RECONCILE_CONFIGURATION: Final = "gateway_configuration.reconcile"
"""Subject: a gateway configuration."""

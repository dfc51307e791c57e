"""Routes fit the router that their control plane's gateways run."""

from collections.abc import Sequence

from core.crud.hooks import EntityHooks, Neighbours
from schema.base import Document
from schema.errors import Violation
from schema.snapshot import GatewaySettings


class Hooks(EntityHooks):
    """A gateway refuses a whole configuration that holds a route of another flavour, so it is refused here first."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        del neighbours
        if document["expression"] is not None and GatewaySettings().router_flavor != "expressions":
            return [Violation("expression", "this control plane's router does not match by expressions")]
        return ()

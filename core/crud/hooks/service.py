"""Services ask for nothing that the gateways cannot do: they would refuse the whole configuration."""

from collections.abc import Sequence

from core.crud.hooks import EntityHooks, Neighbours
from schema.base import Document
from schema.errors import Violation


class Hooks(EntityHooks):
    """What the engine refuses is refused when it is written, where its author sees it."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        del neighbours
        if document["tls_verify_depth"] is not None:
            return [Violation("tls_verify_depth", "the gateways of this version do not limit the chain's depth")]
        return ()

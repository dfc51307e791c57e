"""The type of a partial is fixed: what links to it relies on it."""

from collections.abc import Sequence
from uuid import UUID

from core.crud.hooks import EntityHooks, Neighbours
from schema.base import Document
from schema.errors import Violation


class Hooks(EntityHooks):
    """A partial as it is against what it is to become. Source: Kong Gateway's immutable fields."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        there = neighbours.by_id("partials", UUID(document["id"]))
        if there is not None and there.doc["type"] != document["type"]:
            return [Violation("type", "immutable field cannot be updated")]
        return ()

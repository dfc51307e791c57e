"""Values made from schemas of our OpenAPI documents: mostly fitting, at the edges by preference, and now and then wrong."""

from collections.abc import Mapping
from random import Random
from typing import Any
from uuid import UUID

TEXTS = (
    "a", "orders", "x-1", "a b", "/p", "/p/%C3%A9", "~/^a$", "example.com", "*.example.com", "10.0.0.1", "10.0.0.1:80",
    "::1", "http://u.test:81/x", "0", "true", "null", "", " ", "é", "🦫", "{vault://env/a}", "$(headers.x)", "a:b", "a=b",
    "A" * 300, "\t", "..", "%", "a\u0000b", "../../etc", "' or 1=1 --", "2026-01-01T00:00:00Z",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 80, 255, 443, 65_535, 65_536, 2**31 - 1, 2**31, 2**53, -(2**31), 0.5, 1e300)
ANYTHING = (*TEXTS[:6], *NUMBERS[:4], True, False, None, [], {}, [1], {"a": "b"}, [[]], {"": None})
_WRONG = 0.03
_OPTIONAL = 0.25
_DEEPEST = 5


class Generated:
    """Values for the schemas of one document. The same seed makes the same values."""

    def __init__(self, seed: str, schemas: Mapping[str, Any], *, wrong: float = _WRONG) -> None:
        self._random = Random(seed)
        self._schemas = schemas
        self._wrong = wrong

    def value(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """A value for a schema."""
        if self._random.random() < self._wrong:
            return self._random.choice(ANYTHING)
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if choices:
            return self.value(self._random.choice(choices), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        kind = schema.get("type")
        return self._of_type(self._random.choice(kind) if isinstance(kind, list) else kind, schema, depth)

    def _of_type(self, kind: str | None, schema: Mapping[str, Any], depth: int) -> Any:
        if kind == "string":
            return str(self.uuid()) if schema.get("format") == "uuid" else self._text(schema)
        if kind in {"integer", "number"}:
            return self._number(kind, schema)
        if kind == "boolean":
            return self._random.random() < 0.5
        if kind == "array":
            count = 0 if depth > _DEEPEST else self._random.choice((0, 1, 1, 2))
            return [
                self.value(schema.get("items", {}), depth + 1) for _ in range(max(count, schema.get("minItems", 0)))
            ]
        if kind == "object":
            return self._record(schema, depth)
        return None if kind == "null" else self._random.choice(ANYTHING)

    def uuid(self) -> UUID:
        """An id that nobody has."""
        return UUID(int=self._random.getrandbits(128), version=4)

    def _text(self, schema: Mapping[str, Any]) -> str:
        said = [*schema.get("examples", ()), schema.get("default")]
        texts = [text for text in said if isinstance(text, str)]
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1000)
        fitting = [text for text in TEXTS if least <= len(text) <= most]
        return self._random.choice([*texts * 3, *(fitting or ["a" * least])])

    def _number(self, kind: str, schema: Mapping[str, Any]) -> float:
        least, most = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31)
        edges = [bound for name in ("minimum", "maximum") if (bound := schema.get(name)) is not None]
        fitting = [
            number for number in NUMBERS if least <= number <= most and (kind == "number" or number == int(number))
        ]
        found = self._random.choice([*edges, *fitting] or [least])
        return int(found) if kind == "integer" else found

    def _record(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        chance = _OPTIONAL if depth <= _DEEPEST else 0.0
        found = {
            name: self.value(part, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or self._random.random() < chance
        }
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict) and depth <= _DEEPEST:
            found |= {
                self._random.choice(TEXTS): self.value(rest, depth + 1) for _ in range(self._random.choice((0, 1)))
            }
        if self._random.random() < self._wrong:
            found[self._random.choice(("bogus", "", "id", "$ref"))] = self._random.choice(ANYTHING)
        return found

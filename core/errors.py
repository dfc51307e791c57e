"""What can go wrong, as facts with a stable code. Nothing here knows HTTP.

`DomainError`: the caller asked for something that cannot be; the API maps each class to a status. `OperatorError`: the
installation is wrong (a setting, the database); a process prints its one line and exits. Every error has a public
message; `context` is for the log only and may name things that the caller must not learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

Source = Literal["body", "query", "path", "header"]


class SluiceError(Exception):
    """Root of every error that this product raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, context: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context: dict[str, object] = dict(context or {})


# --- the installation is wrong -------------------------------------------------------------------------------------


class OperatorError(SluiceError):
    """Something that only the operator can repair; the message is one line that says what."""

    code = "operator-error"


class SettingsError(OperatorError):
    """A setting is unknown, missing or invalid."""

    code = "settings-invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"setting {name}: {problem}")
        self.name = name
        self.problem = problem


class DatabaseUnreachable(OperatorError):
    """No connection to PostgreSQL could be made."""

    code = "database-unreachable"


class DatabaseTooOld(OperatorError):
    """The server is older than the oldest PostgreSQL that is supported."""

    code = "database-too-old"


class SchemaTooNew(OperatorError):
    """The database was migrated by a newer version of this product."""

    code = "schema-too-new"

    def __init__(self, found: str, newest_known: str) -> None:
        super().__init__(
            f"the database is at schema revision {found}, newer than this version of Sluice knows "
            f"({newest_known}): start the newer version, or restore an older backup"
        )
        self.found = found
        self.newest_known = newest_known


class SchemaOutdated(OperatorError):
    """The database lacks migrations that this version needs."""

    code = "schema-outdated"

    def __init__(self, found: str | None, needed: str) -> None:
        super().__init__(
            f"the database is at schema revision {found or 'none'}, this version needs {needed}: run `sluice migrate`"
        )
        self.found = found
        self.needed = needed


# --- the caller is wrong -------------------------------------------------------------------------------------------


class DomainError(SluiceError):
    """A request that cannot be fulfilled as it stands."""

    code = "domain-error"


class Unauthenticated(DomainError):
    """No token, or one that does not count. `context["reason"]` says why, for the log only."""

    code = "unauthenticated"

    def __init__(self, reason: str) -> None:
        super().__init__("A valid token is required", context={"reason": reason})
        self.reason = reason


class Forbidden(DomainError):
    """The caller is known and may see the thing, but not do this."""

    code = "forbidden"

    def __init__(self, message: str = "You do not have permission to do this") -> None:
        super().__init__(message)


class NotFound(DomainError):
    """No such thing, or it is someone else's: the caller cannot tell which."""

    code = "not-found"

    def __init__(self, kind: str, identifier: UUID | str) -> None:
        super().__init__(f"The requested {kind} was not found", context={"kind": kind, "identifier": str(identifier)})
        self.kind = kind
        self.identifier = str(identifier)


class NameTaken(DomainError):
    """A unique key is in use. `key` lists the columns that form it with the values asked for."""

    code = "name-taken"

    def __init__(self, kind: str, key: Mapping[str, object]) -> None:
        columns = ", ".join(key)
        values = ", ".join(str(value) for value in key.values())
        super().__init__(f"Key ({columns})=({values}) already exists.", context={"kind": kind})
        self.kind = kind
        self.key = dict(key)


class Conflict(DomainError):
    """The request collides with the present state of the thing."""

    code = "conflict"


class LimitReached(DomainError):
    """One more of these is not allowed."""

    code = "limit-reached"

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"No more than {limit} {kind} are allowed", context={"kind": kind, "limit": limit})
        self.kind = kind
        self.limit = limit


class Unavailable(DomainError):
    """Something that the answer depends on is out of reach for the moment; trying again is right."""

    code = "unavailable"

    def __init__(
        self, message: str = "The service is temporarily unavailable", *, retry_after_seconds: int = 1
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks one rule.

    Attributes:
        field: dotted path with array indexes in brackets (`config.proxy_urls[0].port`); `body` for the whole body.
        reason: what is wrong, readable after the field's name ("must have at least 2 characters").
        rule: machine-readable rule (`required`, `is_string`, `enum`, `max_length`, …; clients know a fixed list).
        source: where the field was.
        bound: the limit for rules of the minimum and maximum families.
        choices: what would have been accepted, for rule `enum`.
        dependents: the other fields, for rule `dependent_fields`.
    """

    field: str
    reason: str
    rule: str | None = "invalid"
    source: Source | None = "body"
    bound: int | None = None
    choices: Sequence[object] | None = None
    dependents: Sequence[str] | None = None


class InvalidInput(DomainError):
    """One or more fields are not acceptable."""

    code = "invalid-input"

    def __init__(self, violations: Sequence[Violation], message: str = "Invalid Parameters") -> None:
        if not violations:
            raise ValueError("InvalidInput needs at least one violation")
        super().__init__(message)
        self.violations = tuple(violations)

    @classmethod
    def of(
        cls, field: str, reason: str, *, rule: str | None = "invalid", source: Source | None = "body"
    ) -> "InvalidInput":
        """The common case of a single violation."""
        return cls([Violation(field=field, reason=reason, rule=rule, source=source)])

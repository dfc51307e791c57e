"""Who does something: the caller of one request, or the installation itself."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """A user who came with a token.

    Attributes:
        organization_id: the tenant; from the token alone, never from the request.
        user_id: the person.
        token_id: the token they used.
        request_id: the request, as in the log and in the audit trail.
    """

    organization_id: UUID
    user_id: UUID
    token_id: UUID
    request_id: str | None = None

    @property
    def label(self) -> str:
        """The form that history and audit trail store."""
        return f"user:{self.user_id}"


@dataclass(frozen=True, slots=True)
class SystemActor:
    """The installation itself, at work of its own. `name` says which."""

    name: str
    request_id: None = None

    @property
    def label(self) -> str:
        """The form that history and audit trail store."""
        return f"system:{self.name}"

"""From a token to its owner.

A token that was good is believed for half a second without asking again: a client that sends many requests pays for one
look-up, and a revocation still counts everywhere within a second. The process that revokes forgets at once.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text

from core.actor import Actor
from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.errors import DatabaseUnreachable, Unauthenticated, Unavailable
from core.iam import tokens

# `last_used_at` is for people; writing it with every request would make reads as dear as writes.
_LAST_USED_PRECISION: Final = timedelta(minutes=1)

# Half of what revocation may take, so that a slow request still keeps the promise.
_BELIEVED: Final = timedelta(seconds=0.5)
_BELIEVED_TOKENS: Final = 10_000

_FIND: Final = """
    select t.org_id, t.id, t.user_id, t.expires_at, t.revoked_at, t.last_used_at, u.active and o.state = 'active'
    from access_tokens t
    join users u on u.org_id = t.org_id and u.id = t.user_id
    join organizations o on o.id = t.org_id
    where t.token_hash = %s
    """
_TOUCH: Final = text(
    """
    update access_tokens set last_used_at = :now
    where org_id = :org_id and id = :id and (last_used_at is null or last_used_at < :stale)
    """
)


@dataclass(frozen=True, slots=True)
class _Belief:
    org_id: UUID
    user_id: UUID
    token_id: UUID
    until: float


class Authenticator:
    """Finds out whom a token belongs to. Thread-safe."""

    def __init__(self, database: Database, keyring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._beliefs: dict[bytes, _Belief] = {}
        # Grows with every change: a look-up that began before one must not bring back what it ended.
        self._changes = 0

    def recall(self, token: str, request_id: str | None = None) -> Actor | None:
        """The owner of a token that was found good within the last half second; never waits for anything."""
        belief = self._beliefs.get(self._keyring.token_hash(token))
        if belief is None or belief.until <= self._clock.monotonic():
            return None
        return Actor(belief.org_id, belief.user_id, belief.token_id, request_id)

    def forget(self, token_id: UUID) -> None:
        """Ask the database again for this token: it was changed."""
        self._changes += 1
        for token_hash, belief in list(self._beliefs.items()):
            if belief.token_id == token_id:
                self._beliefs.pop(token_hash, None)

    def authenticate(self, token: str, request_id: str | None = None) -> Actor:
        """The owner of a token, as the database knows it now.

        Raises: Unauthenticated: malformed, unknown, expired or revoked, or its user or organization is not active; which
            of these is for the log only. Unavailable: the database does not answer.
        """
        if not tokens.is_well_formed(token):
            raise Unauthenticated("malformed")
        token_hash = self._keyring.token_hash(token)
        started, changes = self._clock.monotonic(), self._changes
        try:
            row = self._database.look_up(_FIND, (token_hash,))
        except DatabaseUnreachable as error:
            raise Unavailable from error
        if row is None:
            raise Unauthenticated("unknown")
        org_id, token_id, user_id, expires_at, revoked_at, last_used_at, owner_is_active = row
        now = self._clock.now()
        if revoked_at is not None:
            raise Unauthenticated("revoked")
        if expires_at <= now:
            raise Unauthenticated("expired")
        if not owner_is_active:
            raise Unauthenticated("owner-inactive")
        stale = now - _LAST_USED_PRECISION
        if last_used_at is None or last_used_at < stale:
            with self._database.system_autocommit() as connection:
                connection.execute(_TOUCH, {"now": now, "stale": stale, "org_id": org_id, "id": token_id})
        if len(self._beliefs) >= _BELIEVED_TOKENS:
            self._beliefs.clear()
        # Counted from before the look-up, however long it took; and never beyond the token's own end.
        believed = min(_BELIEVED, expires_at - now)
        if changes == self._changes:
            self._beliefs[token_hash] = _Belief(org_id, user_id, token_id, started + believed.total_seconds())
        return Actor(org_id, user_id, token_id, request_id)

"""From a token to its owner.

Every request asks the database, by a unique index on the keyed hash, in one round trip without a transaction: a token
that is revoked in one process is refused by all others with the next request. There is no cache to forget it in.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.actor import Actor
from core.clock import Clock
from core.crypto import KeyRing
from core.db.engine import Database
from core.errors import Unauthenticated, Unavailable
from core.iam import tokens

# `last_used_at` is for people; writing it with every request would make reads as dear as writes.
_LAST_USED_PRECISION: Final = timedelta(minutes=1)

_FIND: Final = text(
    """
    select t.org_id, t.id, t.user_id, t.expires_at, t.revoked_at, t.last_used_at, u.active, o.state
    from access_tokens t
    join users u on u.org_id = t.org_id and u.id = t.user_id
    join organizations o on o.id = t.org_id
    where t.token_hash = :token_hash
    """
)
_TOUCH: Final = text(
    """
    update access_tokens set last_used_at = :now
    where org_id = :org_id and id = :id and (last_used_at is null or last_used_at < :stale)
    """
)


class Authenticator:
    """Finds out whom a token belongs to. Thread-safe."""

    def __init__(self, database: Database, keyring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    def authenticate(self, token: str, request_id: str | None = None) -> Actor:
        """The owner of a token.

        Raises: Unauthenticated: malformed, unknown, expired or revoked, or its user or organization is not active; which
            of these is for the log only. Unavailable: the database does not answer.
        """
        if not tokens.is_well_formed(token):
            raise Unauthenticated("malformed")
        token_hash = self._keyring.token_hash(token)
        try:
            return self._look_up(token_hash, request_id)
        except OperationalError:
            # The first request after a restart of the database finds a dead connection in the pool.
            try:
                return self._look_up(token_hash, request_id)
            except OperationalError as error:
                raise Unavailable from error

    def _look_up(self, token_hash: bytes, request_id: str | None) -> Actor:
        now = self._clock.now()
        with self._database.system_autocommit() as connection:
            row = connection.execute(_FIND, {"token_hash": token_hash}).first()
            if row is None:
                raise Unauthenticated("unknown")
            if row.revoked_at is not None:
                raise Unauthenticated("revoked")
            if row.expires_at <= now:
                raise Unauthenticated("expired")
            if not row.active or row.state != "active":
                raise Unauthenticated("owner-inactive")
            stale = now - _LAST_USED_PRECISION
            if row.last_used_at is None or row.last_used_at < stale:
                connection.execute(_TOUCH, {"now": now, "stale": stale, "org_id": row.org_id, "id": row.id})
            return Actor(row.org_id, row.user_id, row.id, request_id)

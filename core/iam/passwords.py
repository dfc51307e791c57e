"""Passwords of people: argon2id, a few at a time.

One hash takes 64 MiB and tens of milliseconds on purpose; without a bound a burst of logins would take the memory of the
whole process.
"""

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import Unavailable


class Passwords:
    """Hashes and checks passwords. Thread-safe."""

    def __init__(self, *, concurrency: int = 2, wait_seconds: float = 5.0) -> None:
        """At most `concurrency` hashes at once; whoever waits longer than `wait_seconds` gets Unavailable."""
        self._hasher = PasswordHasher()
        self._slots = threading.BoundedSemaphore(concurrency)
        self._wait_seconds = wait_seconds

    def hash(self, password: str) -> str:
        """The encoded argon2id hash, salt and parameters included."""
        with _Slot(self._slots, self._wait_seconds):
            return self._hasher.hash(password)

    def verify(self, encoded: str, password: str) -> bool:
        """Whether `password` is the one that `encoded` was made from."""
        with _Slot(self._slots, self._wait_seconds):
            try:
                return self._hasher.verify(encoded, password)
            except (VerificationError, InvalidHashError):
                return False


class _Slot:
    def __init__(self, slots: threading.BoundedSemaphore, wait_seconds: float) -> None:
        self._slots = slots
        self._wait_seconds = wait_seconds

    def __enter__(self) -> None:
        if not self._slots.acquire(timeout=self._wait_seconds):
            raise Unavailable("Too many logins at once")

    def __exit__(self, *_exception: object) -> None:
        self._slots.release()


def new_password() -> str:
    """A random password of 160 bits that can be typed."""
    return secrets.token_urlsafe(20)

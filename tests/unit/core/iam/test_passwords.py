"""Passwords."""

import pytest

from core.errors import Unavailable
from core.iam.passwords import Passwords, new_password


def test_round_trip() -> None:
    passwords = Passwords()
    encoded = passwords.hash("correct horse")

    assert encoded.startswith("$argon2id$")
    assert passwords.verify(encoded, "correct horse")
    assert not passwords.verify(encoded, "wrong horse")
    assert not passwords.verify("no hash at all", "correct horse")


def test_no_more_than_allowed_at_once() -> None:
    passwords = Passwords(concurrency=1, wait_seconds=0.01)

    with passwords._slots:
        with pytest.raises(Unavailable):
            passwords.hash("x")
        with pytest.raises(Unavailable):
            passwords.verify("hash", "x")

    assert passwords.hash("x")


def test_new_passwords_differ() -> None:
    assert len({new_password() for _ in range(50)}) == 50
    assert all(len(new_password()) >= 20 for _ in range(5))

"""The first start of an installation."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam.authentication import Authenticator
from core.iam.bootstrap import Bootstrap, bootstrap
from core.iam.passwords import Passwords
from core.models import AccessToken, Organization, User


def start(database: Database, keyring: KeyRing) -> Bootstrap:
    return bootstrap(database, keyring, Passwords(), SystemClock(), admin_email="root@example.test")


def test_first_start_makes_everything_once(own_database: Database, keyring: KeyRing) -> None:
    first = start(own_database, keyring)
    second = start(own_database, keyring)

    assert first.created
    assert first.password is not None
    assert first.token is not None
    assert second == Bootstrap(first.organization_id, "root@example.test")
    assert not second.created
    assert first.token.get_secret_value() not in repr(first)
    actor = Authenticator(own_database, keyring, SystemClock()).authenticate(first.token.get_secret_value())
    assert actor.organization_id == first.organization_id
    with own_database.system() as session:
        user = session.scalars(select(User)).one()
        assert user.id == session.scalars(select(Organization.owner_id)).one()
        assert user.password_hash is not None
        assert user.password_hash.startswith("$argon2id$")
        assert Passwords().verify(user.password_hash, first.password.get_secret_value())


def test_first_starts_at_once_make_one(own_database: Database, keyring: KeyRing) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: start(own_database, keyring), range(4)))

    assert sum(result.created for result in results) == 1
    assert len({result.organization_id for result in results}) == 1
    with own_database.system() as session:
        assert session.scalar(select(func.count()).select_from(Organization)) == 1
        assert session.scalar(select(func.count()).select_from(User)) == 1
        assert session.scalar(select(func.count()).select_from(AccessToken)) == 1

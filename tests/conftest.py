"""Fixtures that all kinds of tests share: a real PostgreSQL, the real application over it, organizations.

The server starts with the first test that needs it and ends with the test process. Every test works in an organization of
its own; what must not be shared even so (migrations, bootstrap) gets a database of its own.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from core import logging
from core.clock import SystemClock
from core.crypto import KeyRing, new_master_key
from core.db.engine import Database
from core.settings import Settings
from migrations import runner
from tests.support.postgres import PostgresServer
from tests.support.tenants import Tenant, TenantFactory

_TESTS = Path(__file__).parent
_TEMPLATE = "sluice_template"


def pytest_configure() -> None:
    """Log as in production: the default renderer would print local variables, secrets among them."""
    logging.configure("warning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's folder is its kind: tests/api/… has the marker `api`."""
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0]
        if folder in {"unit", "api", "e2e", "conformance", "compose", "framing", "limits"}:
            item.add_marker(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The test process's own PostgreSQL server, holding one migrated template database."""
    with PostgresServer() as server:
        runner.upgrade(server.create_database(_TEMPLATE))
        yield server


@pytest.fixture(scope="session")
def new_database_url(postgres: PostgresServer) -> Iterator[Callable[..., str]]:
    """Makes databases: empty ones with `migrated=False`, else copies of the template."""
    numbers = count(1)
    names: list[str] = []

    def make(*, migrated: bool = True) -> str:
        names.append(f"sluice_{next(numbers)}")
        return postgres.create_database(names[-1], _TEMPLATE if migrated else "template1")

    yield make
    for name in names:
        postgres.drop_database(name)


@pytest.fixture(scope="session")
def database(new_database_url: Callable[..., str]) -> Iterator[Database]:
    """The database that tests share, each in an organization of its own."""
    shared = Database(new_database_url(), pool_size=8)
    yield shared
    shared.close()


@pytest.fixture
def own_database(new_database_url: Callable[..., str]) -> Iterator[Database]:
    """A migrated database for one test alone."""
    own = Database(new_database_url(), pool_size=8)
    yield own
    own.close()


@pytest.fixture(scope="session")
def settings(database: Database) -> Settings:
    """Settings of the application under test."""
    return Settings(database_url=SecretStr(database.url), master_key=SecretStr(new_master_key()), database_pool_size=8)


@pytest.fixture(scope="session")
def keyring(settings: Settings) -> KeyRing:
    """The keys of the application under test."""
    return KeyRing(settings.require_master_key())


@pytest.fixture(scope="session")
def app(settings: Settings, database: Database) -> FastAPI:
    """The real application, with its real sessions."""
    return create_app(settings, database)


@pytest.fixture(scope="session")
def shared_client(app: FastAPI) -> Iterator[TestClient]:
    """One running application for the whole session."""
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def anonymous(shared_client: TestClient) -> TestClient:
    """A client without a token."""
    shared_client.headers.pop("Authorization", None)
    return shared_client


@pytest.fixture
def new_tenant(database: Database, keyring: KeyRing) -> TenantFactory:
    """Makes organizations, each with an administrator and a token."""
    return TenantFactory(database, keyring, SystemClock())


@pytest.fixture
def tenant(new_tenant: TenantFactory) -> Tenant:
    """The organization of this test."""
    return new_tenant()


@pytest.fixture
def other_tenant(new_tenant: TenantFactory) -> Tenant:
    """Somebody else's organization."""
    return new_tenant("Other")


@pytest.fixture
def client(app: FastAPI, shared_client: TestClient, tenant: Tenant) -> Iterator[TestClient]:
    """A client that sends the token of `tenant` unless a request names other headers."""
    shared_client.headers.update(tenant.headers)
    yield shared_client
    shared_client.headers.pop("Authorization", None)

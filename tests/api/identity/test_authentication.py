"""What a token must be like to count."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api.app import create_app
from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam import tokens
from core.iam.authentication import Authenticator
from core.models import AccessToken, Organization, User
from core.settings import Settings
from tests.support.clock import ManualClock
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant

_PATH = "/v3/users/me"


def flip_last(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def test_scheme_in_any_case(client: TestClient, tenant: Tenant) -> None:
    assert client.get(_PATH, headers={"Authorization": f"bearer {tenant.token}"}).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer kpat_",
        "Bearer kpat_" + "x" * 49,
        "Bearer kpat_" + "x" * 5000,
        "Bearer spat_" + "x" * 49,
        "Bearer ü",
        "Bearer a b",
        "kpat_" + "x" * 49,
    ],
)
def test_malformed(client: TestClient, value: str) -> None:
    body = assert_problem(client.get(_PATH, headers={"Authorization": value.encode()}), 401)
    assert body["detail"] == "A valid token is required"


def test_wrong_checksum_never_reaches_the_database(keyring: KeyRing, tenant: Tenant) -> None:
    unreachable = Database("postgresql://nobody@127.0.0.1:1/none")
    authenticator = Authenticator(unreachable, keyring, SystemClock())

    with pytest.raises(Exception, match="valid token"):
        authenticator.authenticate(flip_last(tenant.token))


def test_unknown(client: TestClient) -> None:
    assert_problem(client.get(_PATH, headers={"Authorization": f"Bearer {tokens.mint()}"}), 401)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def timed_client(settings: Settings, database: Database, clock: ManualClock, tenant: Tenant) -> Iterator[TestClient]:
    """A process of its own, as it were: it hears of changes from the database only."""
    with TestClient(create_app(settings, database, clock=clock), headers=tenant.headers) as client:
        yield client


@pytest.mark.parametrize("end", ["expired", "revoked", "deleted", "user-inactive", "organization-inactive"])
def test_what_another_process_ends_is_refused_within_a_second(
    timed_client: TestClient, clock: ManualClock, tenant: Tenant, database: Database, end: str
) -> None:
    assert timed_client.get(_PATH).status_code == 200
    with database.system() as session:
        token = session.scalars(select(AccessToken).where(AccessToken.user_id == tenant.user_id)).one()
        user = session.scalars(select(User).where(User.id == tenant.user_id)).one()
        organization = session.get_one(Organization, tenant.organization_id)
        if end == "expired":
            token.expires_at = clock.now()
        elif end == "revoked":
            token.revoked_at = clock.now()
        elif end == "deleted":
            session.delete(token)
        elif end == "user-inactive":
            user.active = False
        else:
            organization.state = "inactive"

    clock.advance(seconds=0.6)

    assert_problem(timed_client.get(_PATH), 401)


def test_a_token_is_not_believed_beyond_its_own_end(
    timed_client: TestClient, clock: ManualClock, tenant: Tenant, database: Database
) -> None:
    with database.system() as session:
        token = session.scalars(select(AccessToken).where(AccessToken.user_id == tenant.user_id)).one()
        token.expires_at = clock.now() + timedelta(seconds=0.1)
    assert timed_client.get(_PATH).status_code == 200

    clock.advance(seconds=0.1)

    assert_problem(timed_client.get(_PATH), 401)


def test_use_is_noted_once_a_minute(timed_client: TestClient, clock: ManualClock, tenant: Tenant) -> None:
    def last_used() -> str:
        return timed_client.get(f"/v3/users/{tenant.user_id}/access-tokens").json()["data"][0]["last_used_at"]

    first = last_used()
    clock.advance(seconds=59)
    assert last_used() == first
    clock.advance(seconds=2)
    assert last_used() > first


class TestBelief:
    """What a process believes of a token without asking."""

    @pytest.fixture
    def authenticator(self, database: Database, keyring: KeyRing, clock: ManualClock) -> Authenticator:
        return Authenticator(database, keyring, clock)

    def test_lasts_half_a_second(self, authenticator: Authenticator, clock: ManualClock, tenant: Tenant) -> None:
        assert authenticator.recall(tenant.token) is None
        actor = authenticator.authenticate(tenant.token, "r1")
        assert authenticator.recall(tenant.token, "r1") == actor
        clock.advance(seconds=0.49)
        assert authenticator.recall(tenant.token, "r1") == actor
        clock.advance(seconds=0.02)
        assert authenticator.recall(tenant.token) is None

    def test_ends_at_once_where_the_token_is_changed(self, authenticator: Authenticator, tenant: Tenant) -> None:
        actor = authenticator.authenticate(tenant.token)
        authenticator.forget(actor.token_id)
        assert authenticator.recall(tenant.token) is None

    def test_a_late_answer_brings_nothing_back(
        self, authenticator: Authenticator, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        look_up = database.look_up

        def slow(*arguments: Any) -> Any:
            row = look_up(*arguments)
            authenticator.forget(uuid4())
            return row

        monkeypatch.setattr(database, "look_up", slow)
        authenticator.authenticate(tenant.token)
        assert authenticator.recall(tenant.token) is None


def test_the_reason_is_not_told(client: TestClient, tenant: Tenant) -> None:
    """Malformed, unknown and missing look the same from outside."""
    details = {
        client.get(_PATH, headers={"Authorization": value}).json()["detail"]
        for value in ("", f"Bearer {tokens.mint()}", f"Bearer {flip_last(tenant.token)}")
    }
    assert len(details) == 1


def test_token_is_checked_before_the_body(anonymous: TestClient) -> None:
    response = anonymous.post("/v2/control-planes", content=b"{not json", headers={"Content-Type": "application/json"})
    assert_problem(response, 401)

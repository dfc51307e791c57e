"""What a token must be like to count."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam import tokens
from core.iam.authentication import Authenticator
from core.models import AccessToken, Organization, User
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


def test_wrong_checksum_never_reaches_the_database(
    app: FastAPI, keyring: KeyRing, tenant: Tenant, new_tenant: object
) -> None:
    unreachable = Database("postgresql://nobody@127.0.0.1:1/none")
    authenticator = Authenticator(unreachable, keyring, SystemClock())

    with pytest.raises(Exception, match="valid token"):
        authenticator.authenticate(flip_last(tenant.token))


def test_unknown(client: TestClient) -> None:
    assert_problem(client.get(_PATH, headers={"Authorization": f"Bearer {tokens.mint()}"}), 401)


@pytest.mark.parametrize("end", ["expired", "revoked", "user-inactive", "organization-inactive"])
def test_ended(client: TestClient, tenant: Tenant, database: Database, end: str) -> None:
    assert client.get(_PATH).status_code == 200
    with database.system() as session:
        token = session.scalars(select(AccessToken).where(AccessToken.user_id == tenant.user_id)).one()
        user = session.scalars(select(User).where(User.id == tenant.user_id)).one()
        organization = session.get_one(Organization, tenant.organization_id)
        if end == "expired":
            token.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        elif end == "revoked":
            token.revoked_at = datetime.now(UTC)
        elif end == "user-inactive":
            user.active = False
        else:
            organization.state = "inactive"

    assert_problem(client.get(_PATH), 401)


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

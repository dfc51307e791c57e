"""Standing guards: the database itself keeps tenants apart, whatever SQL is run."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Table, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from core.db.engine import APP_ROLE, SYSTEM_ROLE, Database
from core.db.sessions import TenantSession
from core.db.tenancy import CrossTenantWrite, TenantOwned
from core.models import Base, ControlPlane, Lease, Organization, OrganizationLimits, RuntimeNode, User
from core.models.entities import LINKS
from tests.support.tenants import Tenant

_TENANT_TABLES = {
    mapper.local_table.name
    for mapper in Base.registry.mappers
    if issubclass(mapper.class_, TenantOwned)
} | {Organization.__tablename__} | {table.name for table in LINKS.values()}  # fmt: skip
# Tables of the installation; the application role cannot touch them. This set grows only with a reason.
_SYSTEM_TABLES = {Lease.__tablename__, OrganizationLimits.__tablename__, RuntimeNode.__tablename__}
_CONDITION = "(NULLIF(current_setting('app.org_id'::text, true), ''::text))::uuid"


def test_every_table_belongs_to_tenants_or_to_the_system() -> None:
    assert set(Base.metadata.tables) == _TENANT_TABLES | _SYSTEM_TABLES


@pytest.mark.parametrize("table", sorted(_TENANT_TABLES))
def test_tenant_table(database: Database, table: str) -> None:
    column = "id" if table == Organization.__tablename__ else "org_id"
    with database.system() as session:
        forced = session.execute(
            text("select relrowsecurity, relforcerowsecurity from pg_class where oid = cast(:t as regclass)"),
            {"t": table},
        ).one()
        policies = {
            row.policyname: row
            for row in session.execute(text("select * from pg_policies where tablename = :t"), {"t": table})
        }
    assert tuple(forced) == (True, True)
    assert set(policies) == {"tenant", "system"}
    tenant, system = policies["tenant"], policies["system"]
    for policy in (tenant, system):
        assert policy.cmd == "ALL"
        assert policy.permissive == "PERMISSIVE"
    assert tenant.roles == [APP_ROLE]
    assert tenant.qual == tenant.with_check == f"({column} = {_CONDITION})"
    assert system.roles == [SYSTEM_ROLE]


@pytest.mark.parametrize("table", sorted(_TENANT_TABLES - {Organization.__tablename__}))
def test_keys_lead_with_the_organization(table: str) -> None:
    definition: Table = Base.metadata.tables[table]

    assert next(iter(definition.primary_key.columns)).name == "org_id"
    for constraint in definition.foreign_key_constraints:
        target = constraint.referred_table.name
        if target in _TENANT_TABLES - {Organization.__tablename__}:
            assert constraint.column_keys[0] == "org_id", constraint.name


@pytest.mark.parametrize("table", sorted(_SYSTEM_TABLES))
def test_system_table_is_closed_to_the_application(database: Database, tenant: Tenant, table: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"), database.tenant(tenant.organization_id) as session:
        session.execute(text(f"select * from {table}"))


def test_roles_have_no_way_around(database: Database) -> None:
    with database.system() as session:
        for role in (APP_ROLE, SYSTEM_ROLE):
            row = session.execute(
                text("select rolsuper, rolbypassrls, rolcanlogin, rolcreaterole from pg_roles where rolname = :r"),
                {"r": role},
            ).one()
            assert not any(row), role
        owned = session.scalars(
            text("select relname from pg_class where pg_get_userbyid(relowner) in (:app, :system)"),
            {"app": APP_ROLE, "system": SYSTEM_ROLE},
        ).all()
        assert not owned


def add_control_plane(database: Database, tenant: Tenant, name: str = "theirs") -> UUID:
    with database.tenant(tenant.organization_id) as session:
        row = ControlPlane(
            name=name, cluster_type="CLUSTER_TYPE_CONTROL_PLANE", auth_type="x", endpoint_prefix=uuid4().hex[:10]
        )
        session.add(row)
        session.flush()
        assert row.org_id == tenant.organization_id
        return row.id


class TestRawSql:
    """As an attacker who can run any SQL as the application."""

    @pytest.mark.parametrize("table", sorted(_TENANT_TABLES))
    def test_reads_nothing_foreign(self, database: Database, tenant: Tenant, other_tenant: Tenant, table: str) -> None:
        add_control_plane(database, other_tenant)
        column = "id" if table == Organization.__tablename__ else "org_id"
        with database.tenant(tenant.organization_id) as session:
            owners = set(session.execute(text(f"select distinct {column} from {table}")).scalars())
        assert owners <= {tenant.organization_id}

    def test_changes_nothing_foreign(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        theirs = add_control_plane(database, other_tenant)
        with database.tenant(tenant.organization_id) as session:
            for statement in ("update control_planes set name = 'x'", "delete from control_planes"):
                session.execute(text(f"{statement} where id = :id"), {"id": theirs})
        with database.tenant(other_tenant.organization_id) as session:
            assert session.scalars(select(ControlPlane.name)).one() == "theirs"

    def test_writes_nothing_foreign(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        mine = add_control_plane(database, tenant)
        with pytest.raises(DBAPIError, match="row-level security"), database.tenant(tenant.organization_id) as session:
            session.execute(
                text("update control_planes set org_id = :other where id = :id"),
                {"other": other_tenant.organization_id, "id": mine},
            )

    def test_without_an_organization_there_are_no_rows(self, database: Database, tenant: Tenant) -> None:
        add_control_plane(database, tenant)
        with database.app_engine.begin() as connection:
            for table in sorted(_TENANT_TABLES):
                assert connection.scalar(text(f"select count(*) from {table}")) == 0

    def test_the_setting_ends_with_the_transaction(self, database: Database, tenant: Tenant) -> None:
        with database.app_engine.connect() as connection:
            with connection.begin():
                connection.execute(text("begin"))  # on these connections nobody else does (core/db/sessions.py)
                connection.execute(
                    text("select set_config('app.org_id', :id, true)"), {"id": str(tenant.organization_id)}
                )
                assert connection.scalar(text("select count(*) from users")) == 1
            with connection.begin():
                assert connection.scalar(text("select count(*) from users")) == 0

    def test_references_do_not_cross(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        theirs = add_control_plane(database, other_tenant)
        with pytest.raises(DBAPIError, match="foreign key"), database.tenant(tenant.organization_id) as session:
            session.execute(
                text(
                    "insert into config_changes (org_id, control_plane_id, version, seq, entity_type, entity_id, operation, "
                    "actor, created_at) values (:org, :cp, 1, 0, 'services', :cp, 'put', 'x', now())"
                ),
                {"org": tenant.organization_id, "cp": theirs},
            )


class TestSession:
    """The first wall: the tenant session itself."""

    def test_filters_and_stamps(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        theirs = add_control_plane(database, other_tenant)
        mine = add_control_plane(database, tenant, "mine")
        with database.tenant(tenant.organization_id) as session:
            assert session.scalars(select(ControlPlane.id)).all() == [mine]
            assert session.find(ControlPlane, theirs) is None
            assert session.get(ControlPlane, (other_tenant.organization_id, theirs)) is None
            assert session.scalar(select(func.count()).select_from(ControlPlane)) == 1

    def test_filters_without_the_second_wall(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        """Statements carry the organization even where row-level security would not apply."""
        add_control_plane(database, other_tenant)
        mine = add_control_plane(database, tenant, "mine")
        with TenantSession(database.system_engine, tenant.organization_id) as session:
            assert session.scalars(select(ControlPlane.id)).all() == [mine]
            session.execute(update(ControlPlane).values(description="changed"))
            session.commit()
        with database.tenant(other_tenant.organization_id) as session:
            assert session.scalars(select(ControlPlane.description)).one() == ""

    def test_refuses_rows_of_others(self, database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
        with pytest.raises(CrossTenantWrite), database.tenant(tenant.organization_id) as session:
            session.add(User(org_id=other_tenant.organization_id, email="x@example.test"))

    def test_relations_are_never_loaded_by_surprise(self) -> None:
        for mapper in Base.registry.mappers:
            for relation in inspect(mapper).relationships:
                assert relation.lazy == "raise", f"{mapper.class_.__name__}.{relation.key}"

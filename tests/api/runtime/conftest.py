"""The application behind real uvicorn, a node CA, and runtimes that hold its certificates."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn
from sqlalchemy import update

from api.app import create_app
from core.clock import SystemClock
from core.db.engine import Database
from core.db.notices import publish_assignment
from core.gateways.service import hostname
from core.models import ControlPlane, DataplaneGroup, GatewayConfiguration
from core.runtime.node_ca import Node, NodeCa
from core.settings import Settings
from gateway_runtime.identity import NodeIdentity
from tests.support.node_authority import make_authority
from tests.support.tenants import Tenant


class RuntimeApi:
    """One API process, its node CA and its database."""

    def __init__(self, url: str, database: Database, ca: NodeCa, directory: Path) -> None:
        self.url = url
        self.database = database
        self._ca = ca
        self._directory = directory

    def identity(self, region: str) -> tuple[Node, NodeIdentity]:
        """A new node of a region."""
        node = Node(uuid4(), region)
        home = self._directory / str(node.node_id)
        self._ca.ensure_files(node, home / "node.crt", home / "node.key", SystemClock().now())
        return node, NodeIdentity(node.node_id, home / "node.crt", home / "node.key")

    def client(self, region: str) -> httpx.Client:
        """An HTTP client that shows a new node's assertion; `node_id` in its headers tells which."""
        node, identity = self.identity(region)
        headers = {"Authorization": f"Sluice-Node {identity.assertion()}", "X-Test-Node": str(node.node_id)}
        return httpx.Client(base_url=f"{self.url}/runtime/v1", headers=headers, trust_env=False, timeout=10)


@pytest.fixture(scope="session")
def runtime_api(
    settings: Settings, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RuntimeApi]:
    directory = tmp_path_factory.mktemp("runtime")
    certificate, key = make_authority(directory, datetime.now(UTC))
    app = create_app(
        settings.with_changes(
            node_ca_cert_file=certificate, upstream_allow=("127.0.0.0/8",), trusted_ips=("10.0.0.0/8",)
        ),
        database,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield RuntimeApi(
        f"http://127.0.0.1:{listener.getsockname()[1]}", database, NodeCa.load(certificate, key), directory
    )
    server.should_exit = True
    thread.join(10)


class Plane:
    """A control plane whose assignments the test itself decides."""

    def __init__(self, database: Database, tenant: Tenant, cluster_type: str = "CLUSTER_TYPE_SERVERLESS_V1") -> None:
        self._database = database
        self._tenant = tenant
        self.id = uuid4()
        self.prefix = uuid4().hex[:10]
        self._configuration = uuid4()
        with database.tenant(tenant.organization_id) as session:
            plane = ControlPlane(
                id=self.id,
                name=f"plane-{self.prefix}",
                cluster_type=cluster_type,
                auth_type="pinned_client_certs",
                endpoint_prefix=self.prefix,
            )
            session.add(plane)
            session.flush()
            configuration = GatewayConfiguration(
                id=self._configuration, control_plane_id=self.id, control_plane_geo="us", kind="serverless.v1"
            )
            session.add(configuration)

    def host(self, region: str) -> str:
        return hostname(self.prefix, region, "gateways.localhost")

    def assign(self, *regions: str) -> UUID:
        with self._database.tenant(self._tenant.organization_id) as session:
            for region in regions:
                group = DataplaneGroup(
                    configuration_id=self._configuration,
                    control_plane_id=self.id,
                    provider="aws",
                    region=region,
                    state="initializing",
                    hostname=self.host(region),
                    assigned_version=0,
                )
                session.add(group)
                publish_assignment(session, region, self.id)
        return self.id

    def withdraw(self, region: str) -> None:
        with self._database.tenant(self._tenant.organization_id) as session:
            where = (DataplaneGroup.control_plane_id == self.id, DataplaneGroup.region == region)
            session.execute(update(DataplaneGroup).where(*where).values(assigned_version=None))
            publish_assignment(session, region, self.id)


@pytest.fixture
def new_plane(database: Database, tenant: Tenant) -> Callable[..., Plane]:
    return lambda *cluster_type: Plane(database, tenant, *cluster_type)


@pytest.fixture
def plane(new_plane: Callable[..., Plane]) -> Plane:
    return new_plane()

"""Sample bodies and a small client for the entity tests."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from starlette.testclient import TestClient

from schema.registry import registry
from tests.support import pem
from tests.support.tenants import Tenant

# A password in its stored form, which stays as it is.
HASHED = "$pbkdf2-sha256$i=4096$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43

# The smallest valid body of each kind, as a function of a number that keeps natural keys apart.
SAMPLES: dict[str, Callable[[int], dict[str, Any]]] = {
    "services": lambda n: {"name": f"s-{n}", "host": "upstream.test"},
    "routes": lambda n: {"name": f"r-{n}", "paths": [f"/{n}"]},
    "consumers": lambda n: {"username": f"u-{n}"},
    "plugins": lambda n: {"name": "request-transformer", "instance_name": f"p-{n}", "enabled": True},
    "upstreams": lambda n: {"name": f"u-{n}"},
    "targets": lambda n: {"target": f"t-{n}:80"},
    "certificates": lambda n: dict(zip(("cert", "key"), pem.pair(n), strict=True)),
    "snis": lambda n: {"name": f"name-{n}.test"},
    "ca_certificates": lambda n: {"cert": pem.authority(n)},
    "consumer_groups": lambda n: {"name": f"g-{n}"},
    "keyauth_credentials": lambda n: {"key": f"key-{n}"},
    "basicauth_credentials": lambda n: {"username": f"b-{n}", "password": HASHED},
    "acls": lambda n: {"group": f"a-{n}"},
    "hmacauth_credentials": lambda n: {"username": f"h-{n}", "secret": "s"},
    "jwt_secrets": lambda n: {"key": f"j-{n}", "secret": "s"},
    "mtls_auth_credentials": lambda n: {"subject_name": f"m-{n}"},
    "keys": lambda n: {"name": f"k-{n}", "kid": f"kid-{n}", "jwk": f'{{"kty": "oct", "k": "AAAA", "kid": "kid-{n}"}}'},
    "key_sets": lambda n: {"name": f"set-{n}"},
    "vaults": lambda n: {"name": "env", "prefix": f"v-{n}", "config": {"prefix": "P_"}},
    "partials": lambda n: {"name": f"part-{n}", "type": "redis-ce", "config": {"host": "redis.test"}},
    "custom_plugins": lambda n: {"name": f"mine-{n}", "schema": "return {}", "handler": "return {}"},
    "degraphql_routes": lambda n: {"uri": f"/{n}", "query": "query { user }"},
    "graphql_costs": lambda n: {"type_path": f"Query.f-{n}"},
}
# A field and a value other than its default, for changes; tags where there is no other.
CHANGES: dict[str, tuple[str, Any]] = {
    "services": ("retries", 7),
    "routes": ("preserve_host", True),
    "consumers": ("custom_id", "c-1"),
    "plugins": ("enabled", False),
    "upstreams": ("slots", 11),
    "targets": ("weight", 5),
    "certificates": ("tags", ["changed"]),
    "snis": ("tags", ["changed"]),
    "ca_certificates": ("tags", ["changed"]),
    "consumer_groups": ("tags", ["changed"]),
    "keyauth_credentials": ("ttl", 600),
    "basicauth_credentials": ("tags", ["changed"]),
    "acls": ("tags", ["changed"]),
    "hmacauth_credentials": ("tags", ["changed"]),
    "jwt_secrets": ("algorithm", "HS512"),
    "mtls_auth_credentials": ("tags", ["changed"]),
    "keys": ("x5t", "print"),
    "key_sets": ("tags", ["changed"]),
    "vaults": ("description", "changed"),
    "partials": ("tags", ["changed"]),
    "custom_plugins": ("tags", ["changed"]),
    "degraphql_routes": ("methods", ["POST"]),
    "graphql_costs": ("add_constant", 2.5),
}
# Kinds that cannot be without a parent: the parent's kind and body.
PARENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "targets": ("upstreams", {"name": "parent"}),
    "snis": ("certificates", dict(zip(("cert", "key"), pem.pair(1000), strict=True))),
    "keyauth_credentials": ("consumers", {"username": "parent"}),
    "basicauth_credentials": ("consumers", {"username": "parent"}),
    "acls": ("consumers", {"username": "parent"}),
    "hmacauth_credentials": ("consumers", {"username": "parent"}),
    "jwt_secrets": ("consumers", {"username": "parent"}),
    "mtls_auth_credentials": ("consumers", {"username": "parent"}),
    "degraphql_routes": ("services", {"name": "parent", "host": "upstream.test"}),
}


def natural_key(plural: str) -> str:
    """The field that stands in for the id; the id itself where there is none."""
    return registry().entities[plural].spec.natural_key or "id"


class Entities:
    """The core entities of one control plane, over HTTP."""

    def __init__(self, client: TestClient, headers: Mapping[str, str], control_plane_id: str) -> None:
        self.client = client
        self.headers = dict(headers)
        self.control_plane_id = control_plane_id
        self.base = f"/v2/control-planes/{control_plane_id}/core-entities"
        self._parents: set[str] = set()

    @classmethod
    def of(cls, client: TestClient, tenant: Tenant, name: str = "cp", **fields: Any) -> "Entities":
        """In a new control plane of `tenant`."""
        response = client.post("/v2/control-planes", json={"name": name, **fields}, headers=tenant.headers)
        assert response.status_code == 201, response.text
        return cls(client, tenant.headers, response.json()["id"])

    @property
    def id(self) -> UUID:
        return UUID(self.control_plane_id)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        return self.client.request(method, f"{self.base}/{path}", headers=self.headers, **arguments)

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.call("POST", path, json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def get(self, path: str) -> dict[str, Any]:
        """What is there; of a consumer group, which comes with what belongs to it, the group alone."""
        response = self.call("GET", path)
        assert response.status_code == 200, response.text
        body = response.json()
        return body["consumer_group"] if body.keys() == {"consumer_group", "consumers", "plugins"} else body

    def path(self, plural: str) -> str:
        """Where a kind is written to: below a parent, which is made with the first call, if it needs one."""
        spec = registry().entities[plural].spec
        if plural not in PARENTS:
            return spec.path
        parent, body = PARENTS[plural]
        identifier = str(uuid5(NAMESPACE_OID, parent))
        if parent not in self._parents:
            self._parents.add(parent)
            self.create(parent, {**body, "id": identifier})
        return f"{parent}/{identifier}/{spec.nested_path}"

    def sample(self, plural: str, number: int = 1) -> dict[str, Any]:
        """Create one. Two plugins must differ in scope, so each is put on a service of its own."""
        body = SAMPLES[plural](number)
        if plural == "plugins":
            service = self.create("services", {"host": "upstream.test", "name": f"for-plugin-{number}"})
            body["service"] = {"id": service["id"]}
        return self.create(self.path(plural), body)

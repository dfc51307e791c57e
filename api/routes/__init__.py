"""All of the API's routers, one line each."""

from fastapi import APIRouter

from api import entities
from api.routes import (
    admin,
    cloud_gateways,
    config_stores,
    configuration,
    control_plane_groups,
    control_planes,
    dataplane_nodes,
    dp_client_certificates,
    health,
    identity,
    memberships,
    partial_links,
    plugin_schemas,
    reference,
    runtime,
    runtime_groups,
    schemas,
    serverless,
    upstream_health,
)

# Order matters where paths overlap: `plugins/enabled` comes before the plugin of that name.
ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    reference.router,
    identity.router,
    control_planes.router,
    control_plane_groups.router,
    config_stores.router,
    dp_client_certificates.router,
    dataplane_nodes.router,
    runtime_groups.router,
    cloud_gateways.public_router,
    cloud_gateways.router,
    serverless.router,
    runtime.router,
    admin.router,
    configuration.router,
    entities.router,
    memberships.router,
    partial_links.router,
    plugin_schemas.router,
    schemas.router,
    upstream_health.router,
)

"""All of the API's routers, one line each."""

from fastapi import APIRouter

from api import entities
from api.routes import (
    cloud_gateways,
    control_planes,
    health,
    identity,
    memberships,
    runtime,
    serverless,
    upstream_health,
)

# Order matters only where paths overlap; they do not.
ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    identity.router,
    control_planes.router,
    cloud_gateways.public_router,
    cloud_gateways.router,
    serverless.router,
    runtime.router,
    entities.router,
    memberships.router,
    upstream_health.router,
)

"""All of the API's routers, one line each."""

from fastapi import APIRouter

from api.routes import control_planes, health, identity

# Order matters only where paths overlap; they do not.
ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    identity.router,
    control_planes.router,
)

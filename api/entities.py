"""All operations on all declared entities, mounted from the registry: nothing here knows an entity by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.bodies import Body
from api.deps import TenantDb, actor_of, services_of, token_router
from core.control_planes.configuration import Caps
from core.crud import paging
from core.crud.store import EntityStore, Parent
from core.errors import NotFound
from schema.base import Entity, ReferenceField
from schema.registry import Registry, registry
from schema.types import is_uuid

PREFIX: Final = "/v2/control-planes/{controlPlaneId}/core-entities"


def control_plane_id_of(request: Request) -> UUID:
    """The control plane that a path is below. Raises NotFound: what stands there is no id."""
    identifier: str = request.path_params["controlPlaneId"]
    if not is_uuid(identifier):
        raise NotFound("control plane", identifier)
    return UUID(identifier)


# Async although nothing is awaited: a sync dependency would cost a trip to the thread pool.
async def _store(request: Request, session: TenantDb) -> EntityStore:
    services = services_of(request)  # not as dependencies, each of which costs as much as the rest of this
    caps = Caps.of(services.settings)
    return EntityStore(
        session, services.keyring, services.clock, actor_of(request), control_plane_id_of(request), caps=caps
    )


Store = Annotated[EntityStore, Depends(_store)]


def build_router(declarations: Registry) -> APIRouter:
    """Flat paths for every entity, nested ones below each parent, and look-ups from a child back to its parent."""
    router = token_router(prefix=PREFIX, tag="core-entities")
    for entity in declarations.entities.values():
        if entity.spec.mounted:
            _Mount(router, entity).mount()
    for parent, child, reference in declarations.nested():
        _Mount(router, child, parent, reference).mount()
        _mount_reverse(router, child, parent, reference)
    return router


def next_page(request: Request, offset: str | None) -> str | None:
    """The path of the page after the one that was asked for; None if that was the last one."""
    if offset is None:
        return None
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "offset"]
    return f"{request.url.path}?{urlencode([*kept, ('offset', offset)])}"


@dataclass(frozen=True, slots=True)
class _Mount:
    """The operations on one kind of entity, at its own path or below a parent's."""

    router: APIRouter
    entity: type[Entity]
    above: type[Entity] | None = None
    reference: ReferenceField | None = None

    def mount(self) -> None:
        self._add(self._list(), "GET", 200, "list", item=False)
        self._add(self._create(), "POST", 201, "create", item=False)
        if self.above is not None or not self.entity.spec.custom_read:
            self._add(self._read(), "GET", 200, "get")
        self._add(self._replace(), "PUT", 200, "upsert")
        self._add(self._change(), "PATCH", 200, "update")
        self._add(self._delete(), "DELETE", 204, "delete")

    def _add(
        self, endpoint: Callable[..., Response], method: str, status: int, verb: str, *, item: bool = True
    ) -> None:
        spec = self.entity.spec
        names = [(_variable(known), known.spec.singular) for known in (self.above,) if known is not None]
        path = f"/{spec.path}"
        if self.above is not None:
            path = f"/{self.above.spec.path}/{{{_variable(self.above)}}}/{spec.nested_path}"
        if item:
            path += f"/{{{_variable(self.entity)}}}"
            names.append((_variable(self.entity), spec.singular))
        where = "" if self.above is None else f"-with-{self.above.spec.singular}"
        listing = verb == "list"
        extra: dict[str, Any] = {"parameters": documents.path_parameters(*names)}
        if listing:
            extra["parameters"] += documents.list_parameters(self.entity)
        if verb in {"list", "get"}:
            extra["parameters"] += documents.expansion_parameters(self.entity)
        if method in {"POST", "PUT", "PATCH"}:
            extra["requestBody"] = documents.request_body(self.entity, change=method == "PATCH")
            extra["parameters"] += documents.flag_parameters(self.entity)
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            response_class=JSONResponse if status != 204 else Response,
            operation_id=f"{verb}-{spec.singular}{where}",
            summary=self._sentence(verb).split(".", maxsplit=1)[0],
            description=self._sentence(verb),
            responses=documents.responses(self.entity, status, page=listing),
            openapi_extra=extra,
        )

    def _sentence(self, verb: str) -> str:
        one = self.entity.spec.singular.replace("_", " ")
        place = "" if self.above is None else f" of one {self.above.spec.singular.replace('_', ' ')}"
        return {
            "list": f"Page through the {self.entity.spec.path}{place}. Oldest first; rows that stay are shown once.",
            "create": f"Add a {one}{place}. Fields that are left out or null get their defaults.",
            "get": f"Look at one {one}{place}. Found by id, or by name where it has one.",
            "upsert": f"Set a {one}{place} to exactly this. Made under the id of the path if it is not there.",
            "update": f"Change some fields of a {one}{place}. Null unsets a field; the others stay.",
            "delete": f"Remove a {one}{place}. What belongs to it goes with it.",
        }[verb]

    def _parent(self, request: Request) -> Parent | None:
        if self.above is None or self.reference is None:
            return None
        return Parent(self.above.spec.plural, request.path_params[_variable(self.above)], self.reference.name)

    def _key(self, request: Request) -> str:
        return request.path_params[_variable(self.entity)]

    def _with_flags(self, request: Request, body: object) -> object:
        """The body with the flags that the query sets."""
        asked = {name: True for name in self.entity.spec.flags if request.query_params.get(name) == "true"}
        return {**body, **asked} if isinstance(body, dict) and asked else body  # pyright: ignore[reportUnknownVariableType]

    def _expanded(self, request: Request) -> bool:
        """Whether what the entity takes from others is to be shown with it."""
        merged = (reference.name for reference in self.entity.references() if reference.ref.merged)
        return any(request.query_params.get(f"expand_{name}") == "true" for name in merged)

    def _list(self) -> Callable[..., Response]:
        def list_entities(request: Request, store: Store) -> Response:
            parameters = request.query_params.multi_items()
            spec = self.entity.spec
            query = paging.parse_query(spec.filters, parameters, aliases=spec.filter_aliases, plain=spec.queries)
            page = store.list(self.entity, query, self._parent(request), merged=self._expanded(request))
            following = next_page(request, page.offset)
            return JSONResponse({"data": page.data, "next": following, "offset": page.offset})

        return list_entities

    def _create(self) -> Callable[..., Response]:
        def create_entity(request: Request, store: Store, body: Body) -> Response:
            document = self._with_flags(request, body.document(self.entity))
            return JSONResponse(store.create(self.entity, document, self._parent(request)), 201)

        return create_entity

    def _read(self) -> Callable[..., Response]:
        def get_entity(request: Request, store: Store) -> Response:
            merged = self._expanded(request)
            return JSONResponse(store.read(self.entity, self._key(request), self._parent(request), merged=merged))

        return get_entity

    def _replace(self) -> Callable[..., Response]:
        def upsert_entity(request: Request, store: Store, body: Body) -> Response:
            document = self._with_flags(request, body.document(self.entity))
            return JSONResponse(store.replace(self.entity, self._key(request), document, self._parent(request)))

        return upsert_entity

    def _change(self) -> Callable[..., Response]:
        def update_entity(request: Request, store: Store, body: Body) -> Response:
            key, parent = self._key(request), self._parent(request)
            document = body.document(self.entity, lambda: store.read(self.entity, key, parent))
            return JSONResponse(store.change(self.entity, key, self._with_flags(request, document), parent))

        return update_entity

    def _delete(self) -> Callable[..., Response]:
        def delete_entity(request: Request, store: Store) -> Response:
            store.delete(self.entity, self._key(request), self._parent(request))
            return Response(status_code=204)

        return delete_entity


def _mount_reverse(router: APIRouter, child: type[Entity], target: type[Entity], reference: ReferenceField) -> None:
    """What a child refers to, by the child's path. There is no DELETE: the child would be left pointing at nothing."""

    def key_of(request: Request) -> str:
        return request.path_params[_variable(child)]

    def get_target(request: Request, store: Store) -> Response:
        return JSONResponse(store.read_referent(child, key_of(request), reference.name))

    def upsert_target(request: Request, store: Store, body: Body) -> Response:
        return JSONResponse(store.replace_referent(child, key_of(request), reference.name, body.document(target)))

    def update_target(request: Request, store: Store, body: Body) -> Response:
        key = key_of(request)
        document = body.document(target, lambda: store.read_referent(child, key, reference.name))
        return JSONResponse(store.change_referent(child, key, reference.name, document))

    one, other = target.spec.singular.replace("_", " "), child.spec.singular.replace("_", " ")
    operations: tuple[tuple[Callable[..., Response], str, str, str], ...] = (
        (get_target, "GET", "get", f"Look at the {one} that a {other} refers to."),
        (upsert_target, "PUT", "upsert", f"Set the {one} that a {other} refers to. Made if there is none."),
        (update_target, "PATCH", "update", f"Change some fields of the {one} that a {other} refers to."),
    )
    for endpoint, method, verb, sentence in operations:
        extra: dict[str, Any] = {"parameters": documents.path_parameters((_variable(child), child.spec.singular))}
        if method != "GET":
            extra["requestBody"] = documents.request_body(target, change=method == "PATCH")
        router.add_api_route(
            f"/{child.spec.path}/{{{_variable(child)}}}/{reference.name}",
            endpoint,
            methods=[method],
            response_class=JSONResponse,
            operation_id=f"{verb}-{target.spec.singular}-with-{child.spec.singular}",
            summary=sentence.split(".", maxsplit=1)[0],
            description=sentence,
            responses=documents.responses(target, 200),
            openapi_extra=extra,
        )


def _variable(entity: type[Entity]) -> str:
    return f"{entity.spec.title}Id"


router = build_router(registry())

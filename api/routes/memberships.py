"""Consumers in consumer groups: written through the paths of either side, read with the group."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.bodies import Body
from api.deps import token_router
from api.entities import PREFIX, Store, next_page
from core.crud import paging
from core.crud.errors import InvalidEntity, MissingTarget, ReferenceMissing
from core.crud.paging import ListQuery
from core.crud.store import EntityStore, Parent
from core.errors import NotFound
from schema.base import Document, Entity
from schema.entities.consumer import Consumer
from schema.entities.consumer_group import ConsumerGroup
from schema.entities.consumer_group_member import ConsumerGroupMember
from schema.errors import Violation

MOST_AT_ONCE: Final = 1000
_FIELDS: Final[Mapping[type[Entity], str]] = {Consumer: "consumer", ConsumerGroup: "consumer_group"}
_VARIABLES: Final[Mapping[type[Entity], str]] = {Consumer: "ConsumerId", ConsumerGroup: "ConsumerGroupId"}

router = token_router(prefix=PREFIX, tag="core-entities")


def _document(*, many: type[Entity] | None = None, **single: type[Entity]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        name: {"$ref": f"#/components/schemas/{entity.spec.title}"} for name, entity in single.items()
    }
    if many is not None:
        items = {"$ref": f"#/components/schemas/{many.spec.title}"}
        properties[many.spec.plural] = {"type": "array", "items": items}
    return {"type": "object", "required": list(properties), "properties": properties}


@router.get(
    "/consumer_groups/{ConsumerGroupId}",
    operation_id="get-consumer_group",
    response_class=JSONResponse,
    responses=documents.responses(
        ConsumerGroup,
        200,
        schema={**_document(many=Consumer, consumer_group=ConsumerGroup), "required": ["consumer_group"]},
    ),
    openapi_extra={"parameters": documents.path_parameters(("ConsumerGroupId", "consumer_group"))},
)
def get_consumer_group(request: Request, store: Store) -> Response:
    """Look at one consumer group. With its consumers, unless `list_consumers=false`; plugins have a list of their own."""
    key: str = request.path_params["ConsumerGroupId"]
    group = store.read(ConsumerGroup, key)
    answer: Document = {"consumer_group": group}
    if request.query_params.get("list_consumers", "true") != "false":
        consumers = _everything(lambda query: _page_of_others(store, ConsumerGroup, Consumer, group["id"], query))
        answer["consumers"] = consumers
    # Overrides of an earlier kind, which there are none of; decK would take plugins in here for further ones.
    return JSONResponse({**answer, "plugins": []})


def _everything(page: Callable[[ListQuery], tuple[list[Document], str | None]]) -> list[Document]:
    found, offset = page(ListQuery(size=paging.MAX_SIZE))
    while offset is not None:
        more, offset = page(ListQuery(size=paging.MAX_SIZE, offset=offset))
        found += more
    return found


def _page_of_others(
    store: EntityStore, one: type[Entity], other: type[Entity], key: str, query: ListQuery
) -> tuple[list[Document], str | None]:
    """Those on the other side of one's memberships, in the order in which they joined."""
    page = store.list(ConsumerGroupMember, query, Parent(one.spec.plural, key, _FIELDS[one]))
    ids = [UUID(member[_FIELDS[other]]["id"]) for member in page.data]
    return list(store.read_all(other, ids)), page.offset


def _join(store: EntityStore, consumer: UUID, group: UUID) -> None:
    references = {"consumer": consumer, "consumer_group": group}
    if store.first(ConsumerGroupMember, references) is None:
        body = {name: {"id": str(identifier)} for name, identifier in references.items()}
        store.create(ConsumerGroupMember, body)


def _named(store: EntityStore, entity: type[Entity], field: str, body: object) -> list[Document]:
    """What the body names: one id or natural key, `{"id": …}`, or a list of these."""
    members: dict[Any, Any] = body if isinstance(body, dict) else {}
    given: Any = members.get(field)
    keys: list[Any] = given if isinstance(given, list) else [given]
    if not keys or len(keys) > MOST_AT_ONCE:
        raise InvalidEntity([Violation(field, f"length must be between 1 and {MOST_AT_ONCE}")])
    found: list[Document] = []
    for key in keys:
        wanted: Any = next(iter(key.values()), None) if isinstance(key, dict) else key  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if not isinstance(wanted, str):
            raise InvalidEntity([Violation(field, "expected a string")])
        try:
            found.append(store.read(entity, wanted))
        except NotFound:
            raise ReferenceMissing([MissingTarget(field, entity.spec.plural, wanted)]) from None
    return found


def _mount(one: type[Entity], other: type[Entity], field: str, names: dict[str, str]) -> None:
    """List, add, remove one and remove all, below one side of memberships."""
    variable, own = _VARIABLES[one], _FIELDS[one]
    collection = f"/{one.spec.path}/{{{variable}}}/{other.spec.path}"
    parameters = documents.path_parameters((variable, one.spec.singular))

    def ids(own_id: str, other_id: str) -> dict[str, UUID]:
        return {_FIELDS[one]: UUID(own_id), _FIELDS[other]: UUID(other_id)}

    def list_others(request: Request, store: Store) -> Response:
        query = paging.parse_query((), request.query_params.multi_items())
        data, offset = _page_of_others(store, one, other, request.path_params[variable], query)
        return JSONResponse({"data": data, "next": next_page(request, offset), "offset": offset})

    def add_others(request: Request, store: Store, body: Body) -> Response:
        mine = store.read(one, request.path_params[variable])
        others = _named(store, other, field, body.document())
        for item in others:
            pair = ids(mine["id"], item["id"])
            _join(store, pair["consumer"], pair["consumer_group"])
        return JSONResponse({own: mine, other.spec.plural: others}, 201)

    def remove_all(request: Request, store: Store) -> Response:
        store.delete_all(ConsumerGroupMember, Parent(one.spec.plural, request.path_params[variable], own))
        return Response(status_code=204)

    def remove_one(request: Request, store: Store) -> Response:
        mine = store.read(one, request.path_params[variable])
        item = store.read(other, request.path_params[_VARIABLES[other]])
        member = store.first(ConsumerGroupMember, ids(mine["id"], item["id"]))
        if member is None:
            raise NotFound("member", item["id"])
        store.delete(ConsumerGroupMember, member["id"])
        return Response(status_code=204)

    added = _document(many=other, **{own: one})
    assert other.spec.natural_key is not None
    named = {"type": "string", "examples": [other.spec.example[other.spec.natural_key]]}
    body = {"type": "object", "required": [field], "properties": {field: named}}
    mine, others = one.spec.singular.replace("_", " "), other.spec.plural.replace("_", " ")
    router.add_api_route(
        collection,
        list_others,
        methods=["GET"],
        operation_id=names["list"],
        response_class=JSONResponse,
        description=f"Page through the {others} of one {mine}.",
        responses=documents.responses(other, 200, page=True),
        openapi_extra={"parameters": parameters + documents.page_parameters()},
    )
    router.add_api_route(
        collection,
        add_others,
        methods=["POST"],
        status_code=201,
        operation_id=names["add"],
        response_class=JSONResponse,
        description=f"Have a {mine} and others of these belong together: by id or name. Fine if they do already.",
        responses=documents.responses(other, 201, schema=added),
        openapi_extra={
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "description": f"One of the {others}.",
                "content": documents.readable(body),
            },
        },
    )
    router.add_api_route(
        collection,
        remove_all,
        methods=["DELETE"],
        status_code=204,
        operation_id=names["remove_all"],
        response_class=Response,
        description=f"Leave a {mine} without {others}.",
        responses=documents.responses(other, 204),
        openapi_extra={"parameters": parameters},
    )
    router.add_api_route(
        f"{collection}/{{{_VARIABLES[other]}}}",
        remove_one,
        methods=["DELETE"],
        status_code=204,
        operation_id=names["remove"],
        response_class=Response,
        description=f"Take one of its {others} from a {mine}.",
        responses=documents.responses(other, 204),
        openapi_extra={
            "parameters": documents.path_parameters(
                (variable, one.spec.singular), (_VARIABLES[other], other.spec.singular)
            )
        },
    )


_mount(
    ConsumerGroup,
    Consumer,
    "consumer",
    {
        "list": "list-consumers-for-consumer-group",
        "add": "add-consumer-to-group",
        "remove": "remove-consumer-from-group",
        "remove_all": "remove-all-consumers-from-consumer-group",
    },
)
_mount(
    Consumer,
    ConsumerGroup,
    "group",
    {
        "list": "list-consumer-groups-for-consumer",
        "add": "add-consumer-to-specific-consumer-group",
        "remove": "remove-consumer-from-consumer-group",
        "remove_all": "remove-consumer-from-all-consumer-groups",
    },
)

"""Twenty readers and ten writers in one control plane: nobody waits for ever, nothing is lost, nothing fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.entities import Entities

READERS, WRITERS, ROUNDS = 20, 10, 4
# A field for each writer, of one of two services that all of them write.
FIELDS = ("retries", "connect_timeout", "write_timeout", "read_timeout", "port")
READ = (
    "services", "services?size=2", "routes?tags=crowd", "plugins", "config", "tags", "status", "services/shared-0",
    "services/shared-1/routes",
)  # fmt: skip


def test_a_crowd(entities: Entities) -> None:
    shared = [entities.create("services", {"name": f"shared-{n}", "host": "u.test"})["id"] for n in range(2)]
    begun = entities.get("status")
    start = threading.Barrier(READERS + WRITERS)

    def ask(method: str, path: str, status: int, body: dict[str, Any] | None = None) -> Any:
        response = entities.call(method, path, **({} if body is None else {"json": body}))
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def read(number: int) -> int:
        start.wait(60)
        for step in range(6):
            ask("GET", READ[(number + step) % len(READ)], 200)
        return 0

    def write(number: int) -> int:
        """Changes of what is shared, and a service, its route and its plugin that come and go. Returns how many."""
        start.wait(60)
        done = 0
        for step in range(1, ROUNDS + 1):
            ask("PATCH", f"services/{shared[number % 2]}", 200, {FIELDS[number // 2]: 1000 + step})
            own = ask("POST", "services", 201, {"name": f"own-{number}", "host": "u.test", "tags": ["crowd"]})["id"]
            route = {"name": f"route-{number}", "paths": [f"/{number}"], "service": {"id": own}, "tags": ["crowd"]}
            ask("POST", "routes", 201, route)
            ask("POST", f"services/{own}/plugins", 201, {"name": "cors"})
            ask("DELETE", f"services/{own}/plugins/{ask('GET', f'services/{own}/plugins', 200)['data'][0]['id']}", 204)
            ask("DELETE", f"routes/route-{number}", 204)
            ask("DELETE", f"services/{own}", 204)
            done += 7
        return done

    with ThreadPoolExecutor(READERS + WRITERS) as pool:
        running = [pool.submit(read, number) for number in range(READERS)]
        running += [pool.submit(write, number) for number in range(WRITERS)]
        written = sum(task.result(240) for task in running)

    ended = entities.get("status")
    # A version for each write, so none was done twice, or half, or on what another one had seen before.
    assert ended["configuration_version"] - begun["configuration_version"] == written
    assert ended["entities"] == begun["entities"]
    for number in range(WRITERS):
        service = ask("GET", f"services/{shared[number % 2]}", 200)
        assert service[FIELDS[number // 2]] == 1000 + ROUNDS

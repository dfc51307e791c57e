from __future__ import annotations

import asyncio

import pytest

from tests.bench.nuisance import NUISANCES, Backend
from tests.bench.traffic import Client, TrafficError


@pytest.mark.parametrize("name", NUISANCES)
def test_the_backend_outlives_every_nuisance(name: str) -> None:
    async def scenario() -> int:
        async with asyncio.timeout(10), Backend() as backend:
            await NUISANCES[name](backend.port, "a.test")
            client = Client(f"http://127.0.0.1:{backend.port}", "a.test")
            try:
                return await client.status("/bench")
            finally:
                await client.close()

    assert asyncio.run(scenario()) == 200


def test_what_breaks_off_is_no_answer() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(10), Backend() as backend:
            await Client(f"http://127.0.0.1:{backend.port}", "a.test").status("/cut")

    with pytest.raises(TrafficError):
        asyncio.run(scenario())

"""What the declarations complete, the engine takes: no field is unknown to it, none is missing."""

import asyncio

import pytest

from schema.base import Document
from schema.registry import registry
from tests.conformance.engines import EngineGateway
from tests.conformance.judge import ReportedError
from tests.support.plugins import LEAST

pytestmark = pytest.mark.conformance

RUN = [name for name, declared in registry().plugins.items() if declared.spec.since is not None]


async def errors_of(config: Document) -> list[ReportedError]:
    async with EngineGateway.launch(None) as gateway:
        return await gateway.configure(config, {})


@pytest.mark.parametrize("name", RUN)
def test_plugins_with_nothing_but_what_they_must_say(name: str) -> None:
    plugin = {"name": name, "config": LEAST[name]}
    assert asyncio.run(errors_of({"_format_version": "3.0", "plugins": [plugin]})) == []

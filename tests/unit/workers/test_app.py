from contextlib import nullcontext, suppress
from types import SimpleNamespace
from uuid import UUID

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import SecretStr

from core.crypto import new_master_key
from core.errors import SettingsError
from core.settings import Settings
from workers import tasks
from workers.app import VISIBILITY_SECONDS, create_app
from workers.task import TIME_LIMIT_SECONDS, BaseTask
from workers.toolbox import ToolboxSource

SETTINGS = Settings(
    broker_url=SecretStr("redis://127.0.0.1:1/0"),
    database_url=SecretStr("postgresql://u@127.0.0.1:1/d"),
    driver="external",
    master_key=SecretStr(new_master_key()),
)


def test_every_task_is_registered_and_has_a_queue() -> None:
    app = create_app(SETTINGS, ToolboxSource(SETTINGS))
    own = {name for name in app.tasks if not name.startswith("celery.")}
    assert own == tasks.QUEUES.keys()
    assert all(isinstance(app.tasks[name], BaseTask) for name in own)


def test_the_outbox_topics_have_tasks() -> None:
    from core.gateways.topics import RECONCILE_CONFIGURATION

    assert RECONCILE_CONFIGURATION in tasks.QUEUES


def test_schedule_names_tasks_and_their_queues() -> None:
    for entry in create_app(SETTINGS).conf.beat_schedule.values():
        assert entry["options"]["queue"] == tasks.QUEUES[entry["task"]]
        assert entry["options"]["expires"] > entry["schedule"]


def test_nothing_but_json_and_nothing_redelivered_while_it_runs() -> None:
    conf = create_app(SETTINGS).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.broker_transport_options["visibility_timeout"] == VISIBILITY_SECONDS > TIME_LIMIT_SECONDS


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="SLUICE_BROKER_URL"):
        create_app(Settings())
    with pytest.raises(SettingsError, match="SLUICE_NODE_CA_CERT_FILE"):
        ToolboxSource(SETTINGS.with_changes(driver="process"))


class TestSweep:
    """One configuration that always fails does not keep the others from being looked at."""

    def sweep(self, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> list[int]:
        looked_at: list[int] = []

        def reconcile(_database: object, _clock: object, _org_id: UUID, configuration_id: UUID) -> int:
            looked_at.append(configuration_id.int)
            if configuration_id.int == 1:
                raise failure
            return 0

        monkeypatch.setattr(tasks.pools, "unconverged", lambda *_: [(UUID(int=9), UUID(int=key)) for key in range(3)])
        monkeypatch.setattr(tasks.gateway_configuration, "reconcile", reconcile)
        with suppress(SoftTimeLimitExceeded):
            tasks._sweep_configurations(SimpleNamespace(database=SimpleNamespace(system=nullcontext), clock=None))  # type: ignore[arg-type]
        return looked_at

    def test_a_failure_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.sweep(monkeypatch, ZeroDivisionError()) == [0, 1, 2]

    def test_the_time_limit_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.sweep(monkeypatch, SoftTimeLimitExceeded()) == [0, 1]

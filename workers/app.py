"""The workers' composition root: the Celery application, the worker process with its dispatcher, and beat.

JSON only, acknowledged late, results kept nowhere: the database is the truth, the broker only says when to look at it.
"""

import socket
import threading
from contextlib import suppress
from logging import getLogger
from typing import Any, Final

from celery import Celery, signals
from celery.beat import Scheduler
from kombu.exceptions import OperationalError

from core import logging
from core.db.notices import PostgresNotices
from core.settings import Settings
from workers import tasks
from workers.dispatcher import BrokerUnreachable, Dispatcher
from workers.task import SOFT_TIME_LIMIT_SECONDS, TIME_LIMIT_SECONDS
from workers.toolbox import ToolboxSource

VISIBILITY_SECONDS: Final = 5 * TIME_LIMIT_SECONDS
BROKER_TIMEOUT_SECONDS: Final = 5.0
PROCESSES: Final = 3
"""One may wait for a gateway to drain without holding up the others."""


def create_app(settings: Settings, toolboxes: ToolboxSource | None = None) -> Celery:
    """The Celery application: with `toolboxes` it can run tasks, without it only send them.

    Raises: SettingsError: the broker is not set.
    """
    app = Celery("sluice", broker=settings.require_broker_url(), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TIME_LIMIT_SECONDS,
        task_soft_time_limit=SOFT_TIME_LIMIT_SECONDS,
        task_default_queue="configurations",
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_keepalive": True,
        },
        timezone="UTC",
        enable_utc=True,
        beat_scheduler=Scheduler,
        beat_max_loop_interval=1.0,
        beat_schedule=_schedule(),
    )
    if toolboxes is not None:
        tasks.register(app, toolboxes)
    return app


def _schedule() -> dict[str, dict[str, Any]]:
    """Sweeps that nobody took up for a while are dropped, so that they do not pile up without end."""

    def entry(name: str, seconds: float) -> dict[str, Any]:
        options = {"queue": tasks.QUEUES[name], "expires": seconds + tasks.KEPT_SECONDS}
        return {"task": name, "schedule": seconds, "options": options}

    return {
        "sweep configurations": entry(tasks.SWEEP_CONFIGURATIONS, tasks.SWEEP_SECONDS),
        "sweep pools": entry(tasks.SWEEP_POOLS, tasks.SWEEP_SECONDS),
        "prune history": entry(tasks.PRUNE, tasks.PRUNE_SECONDS),
        "sweep ended entities": entry(tasks.SWEEP_ENDED, tasks.ENDED_SECONDS),
    }


def run_worker(settings: Settings) -> int:
    """Run a worker in the foreground until SIGTERM or SIGINT: task processes, and the outbox's dispatcher in this one.

    Returns: the exit status.
    """
    _configure_logging(settings)
    toolboxes = ToolboxSource(settings)
    app = create_app(settings, toolboxes)
    running: list[Dispatcher] = []

    def on_ready(**_: object) -> None:
        # Only now: threads must not exist before the task processes are forked.
        tools = toolboxes.get()
        notices = PostgresNotices(settings.require_database_url())

        def send(topic: str, org_id: Any, subject_id: Any) -> None:
            try:
                tasks.send(app, topic, [str(org_id), str(subject_id)], org_id=str(org_id))
            except OperationalError as error:
                raise BrokerUnreachable from error

        dispatcher = Dispatcher(tools.database, notices, send)
        running.append(dispatcher)
        threading.Thread(target=dispatcher.run, name="outbox-dispatcher", daemon=True).start()
        # Gateways come up now, not when beat next thinks of them.
        with suppress(OperationalError):
            tasks.send(app, tasks.SWEEP_POOLS, [])

    def on_shutting_down(**_: object) -> None:
        for dispatcher in running:
            dispatcher.stop()

    signals.worker_ready.connect(on_ready, weak=False)
    signals.worker_shutting_down.connect(on_shutting_down, weak=False)
    worker = app.Worker(
        pool="prefork",
        concurrency=PROCESSES,
        queues=sorted(set(tasks.QUEUES.values())),
        hostname=f"sluice@{socket.gethostname()}",
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _configure_logging(settings: Settings) -> None:
    logging.configure(settings.log_level)
    # Sweeps run all day: a line when each one comes and another when it goes would bury everything else.
    for name in ("celery", "kombu"):
        getLogger(name).setLevel("WARNING")


def run_beat(settings: Settings) -> int:
    """Send the periodic sweeps, in the foreground, until SIGTERM or SIGINT. Keeps nothing on disk.

    Returns: the exit status.
    """
    _configure_logging(settings)
    app = create_app(settings)
    app.Beat(loglevel="WARNING", quiet=True, scheduler_cls=Scheduler).run()
    return 0

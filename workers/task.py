"""What all tasks share. Arguments are ids, never copies of state; a task may run twice, late or at once."""

from typing import Any, Final

from celery import Task

from core import logging

TIME_LIMIT_SECONDS: Final = 60
"""After this a task's process is killed; well below the broker's visibility timeout, so nothing runs beside its own copy."""
SOFT_TIME_LIMIT_SECONDS: Final = 45

log = logging.get_logger("workers.task")


class BaseTask(Task):
    """Logs under the task's id and organization; failures are logged here and repaired by the sweeps."""

    abstract = True
    ignore_result = True
    acks_late = True
    reject_on_worker_lost = True
    time_limit = TIME_LIMIT_SECONDS
    soft_time_limit = SOFT_TIME_LIMIT_SECONDS

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        headers: dict[str, Any] = self.request.headers or {}
        logging.clear()
        logging.bind(task=self.name, task_id=self.request.id)
        if "org_id" in headers:
            logging.bind(org_id=headers["org_id"])
        try:
            return super().__call__(*arguments, **options)
        finally:
            logging.clear()

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        del args, kwargs, einfo
        log.error("task.failed", task=self.name, task_id=task_id, error=f"{type(exc).__name__}: {exc}")

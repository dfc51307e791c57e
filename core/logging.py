"""Logs: one JSON object per line, constant event names with fields, no secrets.

`bind()` puts request_id, org_id or task_id on everything that the current context logs. The masking processor is the
last line of defence: names that sound secret lose their value, and our tokens are cut out of any text.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Final, TextIO, cast

import structlog
from pydantic import SecretBytes, SecretStr

MASK: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"(authorization|cookie|passw|secret|token$|api_?key|private_?key|master_?key|credential|^key$)", re.IGNORECASE
)
_TOKEN: Final = re.compile(r"\b(kpat|spat)_[A-Za-z0-9]+")
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]+")
_URL_PASSWORD: Final = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")
# Most text has nothing to hide; one look spares it the three replacements.
_SUSPICIOUS: Final = re.compile(r"[ks]pat_|Bearer|Basic|://", re.IGNORECASE)
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Event = MutableMapping[str, Any]


def mask_text(text: str) -> str:
    """`text` without our tokens, authorization values and passwords in URLs."""
    if not _SUSPICIOUS.search(text):
        return text
    text = _TOKEN.sub(r"\1_" + MASK, text)
    text = _BEARER.sub(r"\1 " + MASK, text)
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def mask(value: object) -> object:
    """A copy of `value` that can be shown: secrets inside mappings and lists are masked too."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, SecretStr | SecretBytes):
        return MASK
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: MASK if _is_secret(key, item) else mask(item) for key, item in items}
    if isinstance(value, list | tuple | set):
        return [mask(item) for item in cast("list[object]", value)]
    return value


def bind(**fields: object) -> None:
    """Add fields to everything that the current context logs from now on."""
    structlog.contextvars.bind_contextvars(**fields)


def clear() -> None:
    """Forget all bound fields; at the start and end of a request or task."""
    structlog.contextvars.clear_contextvars()


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a module; cheap, configured on first use."""
    return structlog.get_logger(name)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send our events and those of the standard library through the same JSON lines on `stream` (default: stderr).

    Ours are written directly: the standard library's records would cost three times as much on every request.
    """
    target = stream or sys.stderr
    stamp: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        _mask_event,
        structlog.processors.JSONRenderer(default=str),
    ]
    structlog.configure(
        processors=[*stamp, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=partial(_NamedWriter, target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*stamp, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "alembic"):
        logger = logging.getLogger(noisy)
        logger.handlers = []
        logger.propagate = True
    # Our own access log has the request id and no query string.
    logging.getLogger("uvicorn.access").disabled = True


class _NamedWriter(structlog.WriteLogger):
    """Writes lines; knows whose they are."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


def _mask_event(_logger: object, _method: str, event: Event) -> Event:
    return cast("Event", mask(event))


def _is_secret(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, str | bytes | SecretStr) and bool(_SECRET_NAME.search(name))

"""Logging: JSON lines for machines, readable lines on a terminal. Never one line per record."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

#: Tracebacks without local variables, which may include settings and so secrets.
_PLAIN, _WITHOUT_LOCALS = (
    structlog.dev.plain_traceback,
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False),
)


def configure_log(
    form: Literal["auto", "json", "console"], level: str, stream: TextIO | None = None
) -> None:
    """Configure logging at start: Eddycast's events and warnings of libraries go to `stream`
    (default stderr).

    `form` "auto" means console on a terminal, else JSON; `level` applies to Eddycast's events.
    """
    stream = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and stream.isatty())
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console)
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), stamp]
    render: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), pad_event_to=0, exception_formatter=_PLAIN
            )
        ]
        if console
        else [
            structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = _Handler(stream)
    handler.is_json = not console
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("eddycast").setLevel(level.upper())
    # kafka-python logs every failed attempt; `delivery` logs outages itself, every few seconds.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """A stream handler that knows whether it writes JSON."""

    is_json = False


def is_json() -> bool:
    """True if the log is written as JSON."""
    return any(
        isinstance(handler, _Handler) and handler.is_json
        for handler in logging.getLogger().handlers
    )


def log_everything() -> None:
    """Also log Python's warnings and, if the log is JSON, uncaught errors.
    Affects the whole process."""
    logging.captureWarnings(True)
    if is_json():
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(
            args.exc_type, args.exc_value, args.exc_traceback
        )


def _uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt):
        get_log().critical("uncaught error", reason=str(error), exc_info=(kind, error, trace))


def get_log() -> structlog.stdlib.BoundLogger:
    """Return Eddycast's logger, used as `log.info("what happened", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("eddycast")
    return logger

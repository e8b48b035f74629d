"""How the service speaks: JSON lines for machines, one readable line on a terminal. Never one line a record."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

#: Stack traces without the variables of their frames: settings, and so secrets, are among them.
_PLAIN, _WITHOUT_LOCALS = (
    structlog.dev.plain_traceback,
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False),
)


def configure_log(form: Literal["auto", "json", "console"], level: str, stream: TextIO | None = None) -> None:
    """Send our events, and warnings of libraries, to `stream` (standard error unless given), once, at start."""
    stream = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and stream.isatty())
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console)
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), stamp]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, exception_formatter=_PLAIN)]
        if console
        else [structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS), structlog.processors.JSONRenderer()]
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
    for ours in ("eddycast", "service"):
        logging.getLogger(ours).setLevel(level.upper())
    # The client says at every attempt that nobody answers; we say it ourselves, every few seconds.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Where lines go, and whether they are JSON."""

    is_json = False


def is_json() -> bool:
    """Whether the log is written as JSON."""
    return any(isinstance(handler, _Handler) and handler.is_json for handler in logging.getLogger().handlers)


def log_everything() -> None:
    """For a process of its own: from now on Python's warnings are lines of the log, and so are uncaught errors where
    the log is JSON."""
    logging.captureWarnings(True)
    if is_json():
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt):
        get_log().critical("uncaught error", reason=str(error), exc_info=(kind, error, trace))


def get_log() -> structlog.stdlib.BoundLogger:
    """The one logger: `log.info("what happened", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("eddycast")
    return logger

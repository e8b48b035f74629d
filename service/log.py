"""How the service speaks: JSON lines for machines, one readable line on a terminal. Never one line a record."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor


def configure_log(form: Literal["auto", "json", "console"], level: str, stream: TextIO | None = None) -> None:
    """Send our events, and warnings of libraries, to `stream` (standard error unless given), once, at start."""
    stream = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and stream.isatty())
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console)
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), stamp]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0)]
        if console
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
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
    # The client says at every attempt that nobody answers; we say it ourselves, every few seconds.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_log() -> structlog.stdlib.BoundLogger:
    """The one logger: `log.info("what happened", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("eddycast")
    return logger

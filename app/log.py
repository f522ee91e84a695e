"""How log lines look, and the context that they carry.

Every line has one stable `action` (what happened, in a few words that never change) and details as fields. Lines of
libraries (Temporal's SDK, uvicorn, SQLAlchemy) go the same way. What a line is about, beyond context, is its author's.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

from app.activities.contracts.execution import WORKFLOW_NAME
from app.activities.contracts.shards import SHARD_NAME
from app.secrecy import HIDDEN, scrub

EXECUTING = frozenset({WORKFLOW_NAME, SHARD_NAME})
"""Workflows whose id is that of an execution, or begins with it."""
_SECRET_WORDS = frozenset({"secret", "password", "authorization", "token", "cookie", "jwt", "apikey"})
_SECRET_ENDINGS = ("api_key", "encryption_key")


def configure_log(form: Literal["console", "json"], *, process: str, level: int = logging.INFO) -> None:
    """Send all log lines of this process to standard error in one form.

    Args:
        form: For people (`console`) or one JSON object a line (`json`).
        process: Which process writes, e.g. `server` or `worker`.
        level: Lowest level that is written; of libraries only warnings are.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _name_work,
        _name_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _add_process(process),
        _hide_secrets,
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # Said in fields of their own instead.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    logging.config.dictConfig(_standard_logging(form, shared, level))


def _standard_logging(form: str, shared: list[Processor], level: int) -> dict[str, Any]:
    rename: Processor = structlog.processors.EventRenamer("action")
    if form == "json":
        last: list[Processor] = [
            structlog.processors.format_exc_info,
            rename,
            structlog.processors.JSONRenderer(),
            _scrub,
        ]
    else:
        # The default formatter prints local variables, and secrets among them.
        plain = structlog.dev.plain_traceback
        last = [
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=30, exception_formatter=plain),
            _scrub,
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "app": {"level": level},
            "perdure": {"level": level},
            # Workflow code logs through the SDK's logger, which is silent during replay.
            "temporalio.workflow": {"level": level},
            "temporalio.activity": {"level": level},
            # Its own handlers would print each line a second time.
            "uvicorn": {"handlers": [], "propagate": True, "level": "WARNING"},
            "uvicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
            "uvicorn.error": {"handlers": [], "propagate": True, "level": "WARNING"},
        },
    }


def _add_process(process: str) -> Processor:
    def add(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        line["process"] = process
        return line

    return add


def _name_work(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Say which execution a line of a workflow or an activity is about."""
    given = line.pop("temporal_workflow", None)
    line.pop("temporal_activity", None)
    if given is not None:
        # A shard's id is its execution's and more.
        line.setdefault("execution_id", given["workflow_id"].partition("/")[0])
        line.setdefault("run_id", given["run_id"])
    elif activity.in_activity():
        info = activity.info()
        if info.workflow_type in EXECUTING:
            line.setdefault("execution_id", str(info.workflow_id).partition("/")[0])
        line.setdefault("activity", info.activity_type)
    return line


def _name_trace(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Say which trace a line belongs to, in a process that has traces."""
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is not None:
        context = tracing.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = format(context.trace_id, "032x")
            line["span_id"] = format(context.span_id, "016x")
    return line


def _scrub(_: WrappedLogger, __: str, line: Any) -> Any:
    # The whole line: a traceback may quote what a block was working with.
    return scrub(line) if isinstance(line, str) else line


def _hide_secrets(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    # A net under the rule that nobody logs a secret, not a licence to do so.
    for key in line:
        name = key.lower()
        if name.endswith(_SECRET_ENDINGS) or not _SECRET_WORDS.isdisjoint(name.split("_")):
            line[key] = HIDDEN
    return line

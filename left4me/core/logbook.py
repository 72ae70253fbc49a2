"""Log lines: for a person at a terminal, or one JSON object each for what collects them.

The standard library does it: everything here, Django, Celery and uvicorn log through it already, so that a formatter
and one context variable are all that is missing. structlog would be a second way to log beside the first.

Nothing secret gets past here, in whichever form: addresses that are a permission, tokens, passwords in addresses.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

MASK = "•••"

_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=MappingProxyType({}))
_hide: ContextVar[Callable[[str], str] | None] = ContextVar("log_hide", default=None)

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

# Each with what is kept of it.
_SECRETS = [
    # Addresses that let whoever knows them in. The first part of a path decides, however the rest is spelled.
    (re.compile(r"(/accounts/(?:invitation|new-password)/|/join/)[^/\s?#\"']+"), rf"\1{MASK}"),
    # Webhooks of chat programs: who knows them writes there in our name.
    (re.compile(r"(/api/webhooks/\d+/|hooks\.slack\.com/services/)[\w/-]+"), rf"\1{MASK}"),
    (re.compile(r"\bl4[a-z]_[\w-]+"), MASK),
    (re.compile(r"(\b(?:Bearer|Basic)\s+)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"(\b(?:sessionid|csrftoken|password|rcon_password)=)[^\s;&\"']+", re.IGNORECASE), rf"\1{MASK}"),
]
# A part of a path that only a program would write: an id that nobody typed may be somebody's secret.
_LONG_PART = re.compile(r"(?<=/)[A-Za-z0-9_-]{20,}(?=/|$)")


def hidden(text: str) -> str:
    """`text` without what is known to be secret in any text."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    hide = _hide.get()
    return hide(text) if hide is not None else text


def path(text: str) -> str:
    """A request's path as it may be logged."""
    return _LONG_PART.sub(MASK, hidden(text))[:500]


def request_id(given: str | None) -> str:
    """The id that a caller or a proxy gave, when it looks like one, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


@contextlib.contextmanager
def bound(*, hide: Callable[[str], str] | None = None, **fields: Any) -> Iterator[None]:
    """Every line logged inside carries these fields; `hide` takes further secrets out of them."""
    context = _context.set({**_context.get(), **fields})
    hiding = _hide.set(hide or _hide.get())
    try:
        yield
    finally:
        _hide.reset(hiding)
        _context.reset(context)


def add(**fields: Any) -> None:
    """From here to the end of the surrounding `bound` these fields too."""
    _context.set({**_context.get(), **fields})


def current(name: str) -> Any:
    """What is bound to `name`; None when nothing is."""
    return _context.get().get(name)


class Plain(logging.Formatter):
    """`WARNING servers.tasks: …` with the traceback behind it."""

    def __init__(self) -> None:
        super().__init__("{levelname:<7} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))


class Json(logging.Formatter):
    """One object a line: time, level, logger, message, what is bound, what the line adds, and an exception whole."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hidden(record.getMessage()),
            **_context.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _exception(record.exc_info[1])
        if record.stack_info:
            line["stack"] = hidden(record.stack_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _exception(error: BaseException) -> dict[str, str]:
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": hidden(str(error)),
        "traceback": hidden("".join(traceback.format_exception(error))),
    }


def configuration(form: str) -> dict[str, Any]:
    """Settings for logging.config, in one of the forms plain and json."""
    formatter = {"plain": "left4me.core.logbook.Plain", "json": "left4me.core.logbook.Json"}[form]
    ours = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            # A visitor's 404 is not the operator's news; what is goes into the audit record.
            "django.request": {"level": "ERROR"},
            # A person at a terminal wants to know of requests that broke, a collector of each.
            "left4me.site.middleware.request_log": {"level": "INFO" if form == "json" else "ERROR"},
            # A line for every tick of beat says nothing.
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "uvicorn": ours,
            "uvicorn.error": ours,
            # It writes whole paths, also those that are a permission.
            "uvicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
        },
    }

"""Log formatting: plain lines for a terminal, or one JSON object per line for log collectors.

Django, Celery and uvicorn use the standard library's logging already, so a formatter and one context variable are all
that is needed; structlog would be a second logging system beside it.

Both formatters mask secrets: URLs that grant access, tokens, passwords in URLs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from left4me.core.lines import MASK

_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=MappingProxyType({}))
_hide: ContextVar[Callable[[str], str] | None] = ContextVar("log_hide", default=None)

# Of lines that repeat.
_SHOWN = 10
_SECONDS = 60.0
_MOST_SEEN = 1_000
_COMPARED = 200
_NUMBER = re.compile(r"\d+")

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

# Each with its replacement.
_SECRETS = [
    # URLs that grant access to whoever knows them; recognised by the first parts of the path.
    (re.compile(r"(/accounts/(?:invitation|new-password)/|/join/)[^/\s?#\"']+"), rf"\1{MASK}"),
    # Webhooks of chat programs: whoever knows the URL can post there.
    (re.compile(r"(/api/webhooks/\d+/|hooks\.slack\.com/services/)[\w/-]+"), rf"\1{MASK}"),
    (re.compile(r"\bl4[a-z]_[\w-]+"), MASK),
    (re.compile(r"(\b(?:Bearer|Basic)\s+)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"(\b(?:sessionid|csrftoken|password|rcon_password)=)[^\s;&\"']+", re.IGNORECASE), rf"\1{MASK}"),
]
# A part of a path as only programs make it: such an id may be a secret.
_LONG_PART = re.compile(r"(?<=/)[A-Za-z0-9_-]{20,}(?=/|$)")


def hidden(text: str) -> str:
    """`text` with its secrets masked: those known by their form, and those of the surrounding `bound`."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    hide = _hide.get()
    return hide(text) if hide is not None else text


def path(text: str) -> str:
    """A request's path as it may be logged."""
    return _LONG_PART.sub(MASK, hidden(text))[:500]


def request_id(given: str | None) -> str:
    """The request id that a client or a proxy sent, if it is well-formed, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


@contextlib.contextmanager
def bound(*, hide: Callable[[str], str] | None = None, **fields: Any) -> Iterator[None]:
    """Add these fields to every line logged inside; `hide` masks further secrets in them."""
    context = _context.set({**_context.get(), **fields})
    hiding = _hide.set(hide or _hide.get())
    try:
        yield
    finally:
        _hide.reset(hiding)
        _context.reset(context)


def add(**fields: Any) -> None:
    """Add fields until the end of the surrounding `bound`."""
    _context.set({**_context.get(), **fields})


def current(name: str) -> Any:
    """The field bound to `name`, or None."""
    return _context.get().get(name)


class Console(logging.StreamHandler[TextIO]):
    """Writes lines to stderr, and counts those that repeat: a full disk would otherwise fill the log in minutes.

    Of warnings and errors that differ in numbers only, `_SHOWN` in `_SECONDS` are written. The number of the others
    follows when that time is over. Malformed requests, which anybody can send, are one line without a traceback.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], _Repeats] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        for key, repeats in [*self._seen.items()]:
            if now >= repeats.until:
                del self._seen[key]
                self._say_left_out(repeats)
        if record.name.startswith("django.security"):
            record.exc_info = record.exc_text = None
        if record.levelno < logging.WARNING or not self._is_one_too_many(record, now):
            super().emit(record)

    def close(self) -> None:
        for repeats in self._seen.values():
            self._say_left_out(repeats)
        self._seen.clear()
        super().close()

    def _is_one_too_many(self, record: logging.LogRecord, now: float) -> bool:
        key = record.name, record.levelno, _NUMBER.sub("#", _message(record))[:_COMPARED]
        if key not in self._seen and len(self._seen) < _MOST_SEEN:
            self._seen[key] = _Repeats(record, until=now + _SECONDS)
        repeats = self._seen.get(key)
        if repeats is None:
            return False
        repeats.count += 1
        return repeats.count > _SHOWN

    def _say_left_out(self, repeats: _Repeats) -> None:
        if (left_out := repeats.count - _SHOWN) > 0:
            first = repeats.first
            text = f"{left_out} more lines like this one in {_SECONDS:.0f} s: {_message(first)}"
            super().emit(logging.LogRecord(first.name, first.levelno, first.pathname, first.lineno, text, (), None))


def _message(record: logging.LogRecord) -> str:
    # Arguments that do not fit are reported by the handler when it writes the line.
    with contextlib.suppress(TypeError, ValueError):
        return record.getMessage()
    return str(record.msg)


@dataclass
class _Repeats:
    """How often a line came since its first time."""

    first: logging.LogRecord
    until: float
    count: int = 0


class Plain(logging.Formatter):
    """`WARNING servers.tasks: …`, followed by the traceback."""

    def __init__(self) -> None:
        super().__init__("{levelname:<7} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))


class Json(logging.Formatter):
    """One object per line: time, level, logger, message, bound fields, the record's own `fields`, exception."""

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
        "handlers": {"console": {"()": "left4me.core.logbook.Console", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            # A visitor's 404 is of no interest to the operator.
            "django.request": {"level": "ERROR"},
            # At a terminal only failed requests are shown; a collector gets all.
            "left4me.site.middleware.request_log": {"level": "INFO" if form == "json" else "ERROR"},
            # A line for every periodic task would hide the others.
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "uvicorn": ours,
            "uvicorn.error": ours,
            # It logs whole paths, also those that grant access.
            "uvicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
        },
    }

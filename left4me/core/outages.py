"""Errors of the machine in words for its users: a full disk, a busy or a damaged database, too many open files.

Whoever meets one cannot mend it by doing something else, so pages and API answer 503 and say when to try again.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from django.db import Error as DatabaseProblem
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_Words = str | Promise


@dataclass(frozen=True)
class Outage:
    """What is the matter, what to do, and after how many seconds it may be over."""

    title: _Words
    text: _Words
    retry_after: int

    def __str__(self) -> str:
        return f"{self.title}. {self.text}"


FULL: Final = Outage(
    _("The disk of this host is full"),
    _("Nothing was saved. Free some space, then try again. Running games can still be stopped."),
    60,
)
BUSY: Final = Outage(_("The database is busy"), _("Nothing was saved. Try again in a few seconds."), 5)
UNREACHABLE: Final = Outage(
    _("The database is not reachable"),
    _("Nothing was saved. An admin can run `left4mectl doctor` to find the cause."),
    10,
)
DAMAGED: Final = Outage(
    _("The database is damaged"),
    _("Stop writing to it and restore the last backup: `left4mectl restore FILE`."),
    600,
)
READ_ONLY: Final = Outage(
    _("The disk of this host is read-only or failing"),
    _("Nothing was saved. An admin can run `dmesg` and `left4mectl doctor` to find the cause."),
    60,
)
NO_FILES: Final = Outage(
    _("This host has too many files and connections open"), _("Nothing was saved. Try again in a moment."), 5
)

_BY_NUMBER: Final = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EIO: READ_ONLY,
    errno.EMFILE: NO_FILES,
    errno.ENFILE: NO_FILES,
}
# SQLite's messages, and the codes of PostgreSQL or their beginnings.
_BY_MESSAGE: Final = {
    "database or disk is full": FULL,
    "is locked": BUSY,
    "disk I/O error": READ_ONLY,
    "readonly database": READ_ONLY,
    "unable to open database file": UNREACHABLE,
    "is malformed": DAMAGED,
    "file is not a database": DAMAGED,
}
_BY_CODE: Final = {
    "53100": FULL,
    "55P03": BUSY,
    "40001": BUSY,
    "40P01": BUSY,
    "25006": READ_ONLY,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
    "53": UNREACHABLE,
    "57P": UNREACHABLE,
    "08": UNREACHABLE,
}


def of(error: BaseException | None) -> Outage | None:
    """The outage that this error means; None for any other error."""
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0)
    if not isinstance(error, DatabaseProblem):
        return None
    code = getattr(error.__cause__, "sqlstate", None)
    by_code = [outage for start, outage in _BY_CODE.items() if code and code.startswith(start)]
    by_message = [outage for part, outage in _BY_MESSAGE.items() if part in str(error)]
    # psycopg gives no code where there is no connection.
    lost = [UNREACHABLE] if code is None and "psycopg" in type(error.__cause__).__module__ and not by_message else []
    return next(iter([*by_code, *by_message, *lost]), None)


def described(error: BaseException) -> str:
    """The error in words; the name of its class only where it says nothing better."""
    if (outage := of(error)) is not None:
        return str(outage)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

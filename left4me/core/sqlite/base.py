"""Django's backend for SQLite, with connections that end after an error. Django wants the module under this name."""

from __future__ import annotations

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite that is opened anew once an error has shown that it may be of no more use."""

    def is_usable(self) -> bool:
        """Return False, so that the connection closes at the end of the request or task that met an error.

        Django asks only after errors other than those of the data. SQLite opens a file for reading alone while its
        disk is read-only, and such a connection refuses writes for ever; Django would keep it, as it still reads.
        """
        return False

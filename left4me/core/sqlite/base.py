"""Django's backend for SQLite, with what it does worse than SQLite can. Django wants the module under this name."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor
from django.db.models import Field, Model


class SchemaEditor(DatabaseSchemaEditor):
    """Removes the index of a foreign key by itself. Django would copy the table, which may have millions of rows."""

    def alter_field(
        self, model: type[Model], old_field: Field[Any, Any], new_field: Field[Any, Any], *how: Any
    ) -> None:
        if not _only_the_index_goes(old_field, new_field):
            super().alter_field(model, old_field, new_field, *how)
            return
        table = model._meta.db_table
        with self.connection.cursor() as cursor:
            present = self.connection.introspection.get_constraints(cursor, table)
        for name, constraint in present.items():
            if constraint["columns"] == [old_field.column] and constraint["index"] and not constraint["unique"]:
                self.execute(self.sql_delete_index % {"name": self.quote_name(name), "table": self.quote_name(table)})


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite that is opened anew once an error has shown that it may be of no more use."""

    SchemaEditorClass = SchemaEditor

    def is_usable(self) -> bool:
        """Return False, so that the connection closes at the end of the request or task that met an error.

        Django asks only after errors other than those of the data. SQLite opens a file for reading alone while its
        disk is read-only, and such a connection refuses writes for ever; Django would keep it, as it still reads.
        """
        return False


def _only_the_index_goes(old: Field[Any, Any], new: Field[Any, Any]) -> bool:
    (_, kind, args, before), (_, new_kind, new_args, after) = old.deconstruct(), new.deconstruct()
    # Of the fields, only a foreign key has an index unless it says otherwise.
    goes = "db_index" not in before and before | {"db_index": False} == after
    return goes and (kind, args) == (new_kind, new_args)

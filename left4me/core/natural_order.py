"""The order of names for people: "Server 2" before "Server 10", letter case aside."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Func, TextField
from django.db.models.functions import Lower

# Numbers are compared by this many of their last digits.
_DIGITS = 12
_NAME = "left4me_natural_key"


@lru_cache(maxsize=10_000)
def natural_key(text: str) -> str:
    """A text that sorts as a person would sort `text`: its numbers are padded with zeros."""
    return re.sub("[0-9]+", lambda digits: digits.group().zfill(_DIGITS)[-_DIGITS:], text.lower())


class NaturalOrder(Func):
    """Orders rows by a name as `natural_key` does, in SQLite and in PostgreSQL."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, function=_NAME, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        padded = f"regexp_replace(%(expressions)s, '([0-9]+)', '{'0' * _DIGITS}\\1', 'g')"
        template = f"regexp_replace({padded}, '[0-9]*([0-9]{{{_DIGITS}}})', '\\1', 'g')"
        lowered = self.copy()
        lowered.set_source_expressions([Lower(expression) for expression in self.get_source_expressions()])
        return super(NaturalOrder, lowered).as_sql(compiler, connection, template=template, **context)


def _add_function(sender: type, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.vendor == "sqlite":
        connection.connection.create_function(_NAME, 1, natural_key, deterministic=True)


connection_created.connect(_add_function, dispatch_uid=_NAME)

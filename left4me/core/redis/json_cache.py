"""Django's cache in Redis, with values as JSON.

Django stores them by pickle, which runs what it reads. Workers of other hosts write to a part of the cache, so one of
them could run programs as the web.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from django.core.cache.backends.redis import RedisCache

_MOMENT: Final = "$datetime"


class JsonCache(RedisCache):
    """Stores what JSON knows, and datetimes. Tuples come back as lists."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, {**params, "OPTIONS": {**params.get("OPTIONS", {}), "serializer": JsonValues}})


class JsonValues:
    """The serializer of JsonCache."""

    def dumps(self, value: Any) -> int | bytes:
        """Integers stay as they are, so that Redis can count with them. Raises TypeError."""
        return value if type(value) is int else json.dumps(value, default=_encoded).encode()

    def loads(self, stored: bytes) -> Any:
        """The stored value; None for what this class did not write, such as values of older releases."""
        try:
            return json.loads(stored, object_hook=_decoded)
        except ValueError:
            return None


def _encoded(value: Any) -> dict[str, str]:
    if isinstance(value, datetime):
        return {_MOMENT: value.isoformat()}
    raise TypeError(f"{type(value).__name__} cannot be stored in the cache")


def _decoded(content: dict[str, Any]) -> Any:
    if len(content) == 1 and isinstance(moment := content.get(_MOMENT), str):
        return datetime.fromisoformat(moment)
    return content

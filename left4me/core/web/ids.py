"""Ids of rows in URLs, request bodies and query strings.

Databases hold ids of 63 bits. No row has a larger one, and SQLite raises OverflowError when it is asked for one, so
larger numbers are refused before they reach a query.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

from django.urls import reverse
from django.urls.converters import IntConverter
from pydantic import Field

from left4me.core import numbers

LARGEST_ID = 2**63 - 1

# In the body or the query string of an API request: any other number is answered with 422.
Id = Annotated[int, Field(ge=0, le=LARGEST_ID)]


class IdConverter(IntConverter):
    """`<id:pk>` in a path: a larger number is answered with 404."""

    def to_python(self, value: str) -> int:
        if (number := parse_id(value)) is None:
            raise ValueError(value)
        return number


def parse_id(text: str) -> int | None:
    """The id in `text`; None if `text` is no id."""
    return numbers.whole(text, most=LARGEST_ID)


def parse_ids(texts: Iterable[str]) -> list[int]:
    """The ids among `texts`; what is no id is left out."""
    return [number for number in map(parse_id, texts) if number is not None]


@lru_cache(maxsize=10_000)
def address(page: str, *ids: int) -> str:
    """The address of the page with this name for the rows with these ids, as `reverse` gives it.

    It is kept: Django makes sixty calls for each one, and a page with fifty servers has two hundred.
    """
    return reverse(page, args=ids)

"""Numbered pages of lists that may be very long."""

from __future__ import annotations

from typing import Any, Protocol

from django.core.paginator import EmptyPage, Page, PageNotAnInteger
from django.core.paginator import Paginator as _Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

# So many pages are counted, from the one that is shown on.
PAGES_COUNTED = 20
# A page beyond this has to be asked for with a filter: the rows before it would all be read.
_LAST_PAGE = 10_000


class Countable(Protocol):
    """What can be counted up to a number, besides a QuerySet."""

    def count_up_to(self, most: int) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


class Paginator(_Paginator):  # type: ignore[type-arg]
    """Pages of rows, of which only those up to some pages after the one that is shown are counted.

    To count all rows of a large table takes longer than to read a page of them. `has_more` says that there are more
    than `count`; the last page that is linked to then is not the last one there is.
    """

    def __init__(self, rows: QuerySet[Any, Any] | Countable, per_page: int) -> None:
        super().__init__(rows, per_page)  # type: ignore[arg-type]
        self._known = PAGES_COUNTED * per_page

    def get_page(self, number: Any) -> Page[Any]:
        """The page of this number, which may come from the address; the nearest one, if there is none."""
        try:
            wanted = min(max(int(number), 1), _LAST_PAGE)
        except (TypeError, ValueError):
            wanted = 1
        self._known = (wanted - 1 + PAGES_COUNTED) * self.per_page
        try:
            return self.page(wanted)
        except (EmptyPage, PageNotAnInteger):
            return self.page(self.num_pages)

    @cached_property
    def count(self) -> int:
        return min(self._counted, self._known)

    @property
    def has_more(self) -> bool:
        return self._counted > self._known

    @cached_property
    def _counted(self) -> int:
        rows, most = self.object_list, self._known + 1
        if isinstance(rows, QuerySet):
            # No order: the rows that are counted need not be those that come first.
            return rows.order_by()[:most].count()
        return rows.count_up_to(most)  # type: ignore[attr-defined, no-any-return]

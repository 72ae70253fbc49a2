from __future__ import annotations

import pytest

from left4me.core.web import pages
from left4me.core.web.pages import Paginator


class Numbers:
    """Numbers from 0 on, which remembers how far it was counted."""

    def __init__(self, total: int) -> None:
        self.total, self.counted = total, 0

    def count_up_to(self, most: int) -> int:
        self.counted = most
        return min(self.total, most)

    def __getitem__(self, part: slice) -> list[int]:
        return list(range(self.total))[part]


PAGES_COUNTED = pages.PAGES_COUNTED


@pytest.fixture(autouse=True)
def _few_pages(monkeypatch) -> None:
    monkeypatch.setattr(pages, "PAGES_COUNTED", 3)


def test_rows_are_counted_some_pages_ahead_and_no_further() -> None:
    rows = Numbers(1_000)
    page = Paginator(rows, 10).get_page("2")
    assert (list(page), page.paginator.count, page.paginator.has_more) == (list(range(10, 20)), 40, True)
    assert rows.counted == 41
    assert page.paginator.num_pages == 4 and page.has_next()


def test_every_page_can_be_reached_and_the_last_one_knows_the_number() -> None:
    seen, number, page = [], 1, Paginator(Numbers(47), 10).get_page(1)
    while seen.extend(page) or page.has_next():
        number = page.next_page_number()
        page = Paginator(Numbers(47), 10).get_page(number)
    assert seen == list(range(47)) and (page.paginator.count, page.paginator.has_more) == (47, False)


@pytest.mark.parametrize(
    ("number", "shown"), [(None, 1), ("", 1), ("x", 1), ("0", 1), ("-3", 1), ("6", 5), ("9" * 30, 5), ("1e3", 1)]
)
def test_a_page_that_is_not_there_is_the_nearest_one(number, shown) -> None:
    assert Paginator(Numbers(47), 10).get_page(number).number == shown


def test_no_rows_are_one_empty_page() -> None:
    page = Paginator(Numbers(0), 10).get_page(None)
    assert (list(page), page.number, page.has_other_pages(), page.paginator.has_more) == ([], 1, False, False)


def test_twenty_pages_are_counted_and_ten_thousand_can_be_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(pages, "PAGES_COUNTED", PAGES_COUNTED)
    rows = Numbers(100_000)
    assert Paginator(rows, 5).get_page(1).paginator.count == 100
    assert rows.counted == 101
    assert [Paginator(rows, 5).get_page(number).number for number in (10_000, 10_001)] == [10_000] * 2


def test_a_paginator_counts_from_the_first_page_when_none_was_asked_for() -> None:
    rows = Numbers(1_000)
    assert Paginator(rows, 10).count == 30

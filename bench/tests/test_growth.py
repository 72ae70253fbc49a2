"""bench/growth makes its rows, does each of its works once, and tells growth from noise."""

from __future__ import annotations

import pytest

from bench.growth import FLOOR_MS, PARTS, Row
from bench.growth_work import FLAT, LINEAR


def row(*costs: float, limit: float = FLAT, full: int = 1) -> Row:
    return Row("pages", "a page", limit, full, {10**at: [cost] for at, cost in enumerate(costs)})


def test_the_exponent_is_the_slope_between_the_two_largest_sizes() -> None:
    assert row(5, 10, 100).exponent == pytest.approx(1)
    assert row(5, 10, 1000).exponent == pytest.approx(2)
    assert row(5, 10, 1000, limit=LINEAR).is_too_steep
    assert not row(5, 10, 100, limit=LINEAR).is_too_steep


def test_a_difference_below_the_floor_is_no_growth() -> None:
    steep = row(0.1, 0.1, 0.1 + FLOOR_MS)
    assert steep.is_too_steep
    assert row(0.1, 0.1, 0.1 + FLOOR_MS - 0.01).exponent == 0


def test_a_page_is_compared_from_the_size_on_that_fills_it() -> None:
    assert row(1, 5, 5, full=10).exponent == 0
    assert row(1, 5, full=10).exponent is None


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_client")
def test_works_can_be_done() -> None:
    from bench import growth_installation
    from bench.growth_rows import SERVERS
    from bench.growth_tasks import PARTS as WORKS
    from bench.growth_work import measure

    assert tuple(WORKS) == PARTS
    site = growth_installation.fill(1, ports=range(2_000, 2_000 + SERVERS))
    works = [work for part in ("pages", "jobs", "cleanup") for work in WORKS[part](site)]
    failed = {work.name: measured["error"] for work in works if "error" in (measured := measure(work))}
    assert not failed

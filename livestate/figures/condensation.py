"""Condenses fine blocks that are a day old into coarse ones, and deletes coarse blocks that are too old.

Each hour is stored in one form only: its fine block is deleted in the transaction that adds it to a coarse one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from left4me.core.rows import delete_in_steps
from livestate.figures.columns import decode, encode
from livestate.models import FigureBlock, HostFigures, ServerFigures

FINE_KEPT = timedelta(hours=24)
BLOCKS_AT_ONCE = 200
# Of a coarse block; and the number of fine steps that become one coarse step.
COARSE_STEPS = int(FigureBlock.LENGTH[FigureBlock.COARSE].total_seconds()) // FigureBlock.COARSE
CONDENSED = FigureBlock.COARSE // FigureBlock.FINE

Column = list[int | None]


def condense(*, now: datetime, days: int) -> int:
    """Condense what is older than a day, delete what is older than `days`; return the number of deleted blocks."""
    models: list[tuple[type[FigureBlock], str]] = [(ServerFigures, "server_id"), (HostFigures, "host_id")]
    return sum(_condense(model, owner, now) + _prune(model, now, days) for model, owner in models)


def _condense(model: type[FigureBlock], owner: str, now: datetime) -> int:
    # A block is old when its last step is.
    before = now - FINE_KEPT - FigureBlock.LENGTH[FigureBlock.FINE]
    old = model._default_manager.filter(step=FigureBlock.FINE, start__lt=before)
    condensed = 0
    while keys := list(old.order_by("start", "pk").values_list("pk", flat=True)[:BLOCKS_AT_ONCE]):
        with transaction.atomic():
            # Locked, so that two runs at once do not add the same hour twice.
            fine = list(model._default_manager.select_for_update().filter(pk__in=keys))
            by_day: dict[tuple[int, datetime], list[FigureBlock]] = defaultdict(list)
            for block in fine:
                by_day[getattr(block, owner), _day(block.start)].append(block)
            for (owner_id, day), blocks in by_day.items():
                key: dict[str, Any] = {"step": FigureBlock.COARSE, "start": day, owner: owner_id}
                coarse = model._default_manager.filter(**key).first() or model(**key)
                _add(coarse, blocks)
                coarse.save()
            model._default_manager.filter(pk__in=keys).delete()
        condensed += len(keys)
    return condensed


def _prune(model: type[FigureBlock], now: datetime, days: int) -> int:
    before = now - timedelta(days=days) - FigureBlock.LENGTH[FigureBlock.COARSE]
    return delete_in_steps(model._default_manager.filter(step=FigureBlock.COARSE, start__lt=before))


def _add(coarse: FigureBlock, hours: Sequence[FigureBlock]) -> None:
    for figure in coarse.FIGURES:
        means, highest = halves(decode(getattr(coarse, figure.name)))
        for hour in hours:
            first = int((hour.start - coarse.start).total_seconds()) // FigureBlock.COARSE
            values = decode(getattr(hour, figure.name))
            for index in range(0, len(values), CONDENSED):
                known = [value for value in values[index : index + CONDENSED] if value is not None]
                if known:
                    at = first + index // CONDENSED
                    means[at], highest[at] = round(sum(known) / len(known)), max(known)
        setattr(coarse, figure.name, encode(means + highest))


def halves(column: Column) -> tuple[Column, Column]:
    """The means and the highest values of a coarse column, each with one value for every step of the day."""
    column = column or [None] * (2 * COARSE_STEPS)
    return column[:COARSE_STEPS], column[COARSE_STEPS:]


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

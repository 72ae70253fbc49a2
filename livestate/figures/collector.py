"""Collects measured figures in memory and writes them as fine blocks, a few rows at a time.

Every sweep adds samples; those within one step become one value. A block's columns are encoded as its steps end, so
that writing a block costs one row and no computation, and the current block of each owner is written again and again
until its hour is over. What was not written when the process ends is lost: at most the last steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from livestate.figures.columns import Encoder, decode
from livestate.models import Figure, FigureBlock, ServerFigures
from servers.models import Host, Server

# Rows in one sweep. Twenty servers are written with every step; a thousand take turns, each about once in 50 s.
ROWS_AT_ONCE = 100

Sample = Mapping[str, float | None]


class Collector:
    """Collects the figures of all servers, or of all hosts; not thread-safe."""

    def __init__(self, model: type[FigureBlock], *, gap: timedelta) -> None:
        self._model = model
        self._owners: type[Server] | type[Host] = Server if model is ServerFigures else Host
        self._owner_id = f"{self._owners._meta.model_name}_id"
        self._bridged = max(1, int(gap.total_seconds()) // FigureBlock.FINE)
        self._open: dict[int, _Block] = {}
        # What is to be written, the longest waiting first, by owner and start of the block.
        self._waiting: dict[tuple[int, int], _Block] = {}

    def add(self, samples: Mapping[int, Sample], *, now: datetime) -> None:
        """Add what was measured at `now`, by owner. The steps before that of `now` are complete."""
        step, first = _steps(now)
        for owner in [owner for owner, block in self._open.items() if owner not in samples or block.first != first]:
            self._end(self._open.pop(owner))
        unknown = [owner for owner in samples if owner not in self._open]
        self._load(unknown, first)
        for owner, sample in samples.items():
            block = self._open[owner]
            if block.step != step and block.end_step():
                self._waiting[owner, first] = block
            block.add(step, sample)

    def write(self) -> int:
        """Write the blocks that have waited longest; return their number. Call it in a transaction."""
        blocks = dict(list(self._waiting.items())[:ROWS_AT_ONCE])
        if not blocks:
            return 0
        figures = [figure.name for figure in self._model.FIGURES]
        owners = self._existing(owner for owner, _ in blocks)
        self._model._default_manager.bulk_create(
            [
                self._model(
                    **{self._owner_id: owner},
                    step=FigureBlock.FINE,
                    start=_time(first),
                    **{name: column.encoder.data for name, column in block.columns.items()},
                )
                for (owner, first), block in blocks.items()
                if owner in owners
            ],
            update_conflicts=True,
            unique_fields=["step", "start", self._owner_id],
            update_fields=figures,
        )
        for key in blocks:
            del self._waiting[key]
        return len(blocks)

    def forget(self) -> None:
        """Drop everything that was not written: another process has written these blocks, or a write failed."""
        self._open.clear()
        self._waiting.clear()

    def _end(self, block: _Block) -> None:
        if block.end_step():
            self._waiting[block.owner, block.first] = block

    def _load(self, owners: list[int], first: int) -> None:
        """Open the blocks of these owners, and continue those that were written already."""
        if not owners:
            return
        rows = self._model._default_manager.filter(
            step=FigureBlock.FINE, start=_time(first), **{f"{self._owner_id}__in": owners}
        )
        written = {getattr(row, self._owner_id): row for row in rows}
        for owner in owners:
            # The block of a server that was stopped and started again may still wait to be written.
            self._open[owner] = self._waiting.get((owner, first)) or _Block(
                owner, first, self._model, written.get(owner), bridged=self._bridged
            )

    def _existing(self, owners: Iterable[int]) -> set[int]:
        """Those of these owners that were not deleted since they were measured."""
        return set(self._owners.objects.filter(pk__in=owners).order_by().values_list("pk", flat=True))


class _Block:
    """The current hour of one owner. `step` is the step whose samples are still being added."""

    __slots__ = ("_bridged", "columns", "first", "owner", "step")

    def __init__(
        self, owner: int, first: int, model: type[FigureBlock], row: FigureBlock | None, *, bridged: int
    ) -> None:
        self.owner = owner
        self.first = first
        self.step: int | None = None
        self._bridged = bridged
        self.columns = {figure.name: _Column(figure) for figure in model.FIGURES}
        if row is not None:
            for name, column in self.columns.items():
                column.encoder = Encoder.of(decode(getattr(row, name)))

    def add(self, step: int, sample: Sample) -> None:
        self.step = step
        for name, value in sample.items():
            if value is not None:
                self.columns[name].add(value)

    def end_step(self) -> bool:
        """Encode the step whose samples were added last; return whether there was one."""
        if self.step is None:
            return False
        index = self.step - self.first
        for column in self.columns.values():
            column.end_step(index, self._bridged)
        self.step = None
        return True


class _Column:
    __slots__ = ("_count", "_figure", "_total", "encoder")

    def __init__(self, figure: Figure) -> None:
        self.encoder = Encoder()
        self._figure = figure
        self._total, self._count = 0.0, 0

    def add(self, value: float) -> None:
        if self._figure.is_peak:
            self._total, self._count = max(self._total, value), 1
        else:
            self._total += value
            self._count += 1

    def end_step(self, index: int, bridged: int) -> None:
        encoder = self.encoder
        if index < encoder.steps:
            # The clock was set back, or another process has written this step.
            self._total, self._count = 0.0, 0
            return
        if not self._count:
            return
        missing = index - encoder.steps
        # A single late sweep leaves no hole: the last value counts on.
        encoder.add(encoder.last if missing <= bridged and encoder.steps else None, missing)
        encoder.add(self._figure.stored(self._total / self._count))
        self._total, self._count = 0.0, 0


def _steps(now: datetime) -> tuple[int, int]:
    """The step of `now` and the first step of its hour, both counted from 1970."""
    step = int(now.timestamp()) // FigureBlock.FINE
    in_a_block = int(FigureBlock.LENGTH[FigureBlock.FINE].total_seconds()) // FigureBlock.FINE
    return step, step - step % in_a_block


def _time(step: int) -> datetime:
    return datetime.fromtimestamp(step * FigureBlock.FINE, UTC)

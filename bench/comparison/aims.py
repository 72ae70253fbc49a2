"""What the figures are to reach: the table of aims of bench/comparison/performance.toml, and its rows for a run."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from bench.comparison.results import Result, Run
from bench.figures import US, is_within

SOURCE = Path(__file__).with_name("performance.toml")
_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}


@dataclass(frozen=True)
class Aim:
    """What one figure is to reach: `aim` in its own unit, or `ratio` as a multiple of the peer's in the same run.

    Without both, it is the figure's own aim, and only the reason is given here. `reason` says why it is missed and
    what was tried. It is shown as long as the aim is missed.
    """

    bench: str
    work: str
    aim: str = ""
    peer: str = ""
    ratio: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table of aims, as text, with the reason if the aim is missed."""

    work: str
    ours: str
    peer: str
    ratio: str
    aim: str
    reached: str
    reason: str

    @property
    def cells(self) -> tuple[str, ...]:
        return self.work, self.ours, self.peer, self.ratio, self.aim, self.reached


HEADS = ("work", "left4me", "peer or floor, same run", "ratio", "aim", "reached")


def read(path: Path = SOURCE) -> list[Aim]:
    return [Aim(**each) for each in tomllib.loads(path.read_text(encoding="utf-8"))["aims"]]


def rows(run: Run, aims: list[Aim]) -> list[Row]:
    """A row for each aim, then for each figure with an aim of its own that is missed, and one for all others of those.

    bench/growth has such an aim for each of its many works.
    """
    named = {(aim.bench, aim.work) for aim in aims}
    own: dict[str, list[Row]] = {}
    for result in run.results:
        has_own = result.aim or not result.values
        if has_own and result.who == US and (result.bench, result.work) not in named:
            own.setdefault(result.bench, []).append(_row(run, Aim(result.bench, result.work, aim=result.aim)))
    found = [_row(run, aim) for aim in aims]
    for bench, of_bench in own.items():
        missed = [row for row in of_bench if row.reached != "yes"]
        kept = len(of_bench) - len(missed)
        found += missed
        if kept:
            has_others = missed or any(aim.bench == bench for aim in aims)
            work = f"{bench}: {'all others' if has_others else 'all'}"
            found.append(Row(work, f"{kept} figures", "", "", "their own, in the section of the bench", "yes", ""))
    return found


def _row(run: Run, aim: Aim) -> Row:
    result = run.find(aim.bench, aim.work)
    limit = aim.aim or (result.aim if result else "")
    peer = run.find(aim.bench, aim.work, aim.peer) if aim.peer else _first_peer(run, aim)
    ratio = _ratio(result, peer)
    if result is None or result.value is None:
        reached = f"not measured: {(result and result.failure) or _failure(run, aim)}"
    elif aim.ratio and ratio is None:
        reached = f"not compared: {peer.failure if peer else 'no figure of ' + aim.peer}"
    else:
        is_reached = is_within(ratio, aim.ratio) if aim.ratio else is_within(result.value, limit)
        reached = "yes" if is_reached else "no"
    unit = result.unit if result else ""
    return Row(
        work=f"{aim.bench}: {aim.work}",
        ours=quantity(result),
        peer=f"{peer.who}: {quantity(peer)}" if peer else "",
        ratio=f"{ratio:.2f}" if ratio is not None else "",
        aim=f"{_sign(aim.ratio)} × {aim.peer}" if aim.ratio else f"{_sign(limit)} {unit}".strip(),
        reached=reached,
        reason="" if reached == "yes" else aim.reason,
    )


def _first_peer(run: Run, aim: Aim) -> Result | None:
    """The first peer of a figure whose aim is no ratio."""
    return next((r for r in run.of(aim.bench) if r.work == aim.work and r.who != US), None)


def _failure(run: Run, aim: Aim) -> str:
    """Why there is no figure: what the bench failed with, else that nothing has recorded it."""
    said = [each.reason for each in run.failures if each.bench == aim.bench]
    return "; ".join(said) or "no bench of this run has recorded it"


def _ratio(result: Result | None, peer: Result | None) -> float | None:
    if result is None or peer is None or result.value is None or not peer.value:
        return None
    return result.value / peer.value


def _sign(aim: str) -> str:
    comparison, _, number = aim.partition(" ")
    return f"{_SIGNS.get(comparison, comparison)} {number}"


def quantity(result: Result | None) -> str:
    """The value with its unit and three digits that count."""
    if result is None:
        return ""
    if result.value is None:
        return result.failure
    return f"{number(result.value)} {result.unit}".strip()


def number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{round(value, -max(0, len(str(int(abs(value)))) - 3)):,.0f}" if value >= 100_000 else f"{value:,.0f}"
    return f"{value:.3g}"

"""Plots as SVG, made from figures: bars that lie, one for each work and who does it, readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 820
_LABELS = 370  # the column of labels, left of the bars
_VALUES = 110  # the room for the value, right of the longest bar
_BAR, _GAP, _GROUP = 18, 5, 14
_TOP = 44
_LONGEST_TEXT = 48
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2937; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #4b5563; }
  .ours { fill: #0f766e; }
  .theirs { fill: #9ca3af; }
  .aim { stroke: #b45309; stroke-width: 2; stroke-dasharray: 4 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb; }
    .quiet { fill: #9ca3af; }
    .ours { fill: #2dd4bf; }
    .theirs { fill: #6b7280; }
    .aim { stroke: #fbbf24; }
  }
"""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str  # the value as it is written beside the bar
    is_ours: bool
    aim: float | None = None


def bars(title: str, groups: Sequence[Sequence[Bar]]) -> str:
    """A plot with a group of bars for each work; the same input gives the same text."""
    longest = max((max(bar.value, bar.aim or 0) for group in groups for bar in group), default=0) or 1
    scale = (_WIDTH - _LABELS - _VALUES) / longest
    parts: list[str] = []
    y = _TOP
    for group in groups:
        for bar in group:
            parts += _bar(bar, y, scale)
            y += _BAR + _GAP
        y += _GROUP - _GAP
    said = "; ".join(f"{bar.label} {bar.text}" for group in groups for bar in group)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" role="img"'
        f' aria-label="{escape(title)}: {escape(said)}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<text class="title" x="8" y="24">{escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    width, middle = max(1.0, bar.value * scale), y + _BAR - 5
    label, text = _cut(bar.label), _cut(bar.text)
    kind, quiet = ("ours", "") if bar.is_ours else ("theirs", ' class="quiet"')
    parts = [
        f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end"{quiet}>{escape(label)}</text>',
        f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>',
    ]
    end = _LABELS + width
    if bar.aim is not None:
        x = _LABELS + bar.aim * scale
        parts.append(f'<line class="aim" x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + _BAR + 3}"/>')
        # The value does not stand on the mark of the aim.
        end = x if end <= x < end + 8 else end
    parts.append(f'<text x="{end + 6:.1f}" y="{middle}"{quiet}>{escape(text)}</text>')
    return parts


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"

"""Factories for overlays, with the rows that the application would create."""

from __future__ import annotations

from itertools import count
from typing import Any

from overlays.models import Overlay

_numbers = count(1)


def make_overlay(**fields: Any) -> Overlay:
    """A system overlay unless `owner` is given."""
    number = next(_numbers)
    return Overlay.objects.create(**{"name": f"overlay {number}", "path": f"test-{number}", **fields})

from __future__ import annotations

import pytest

from left4me.core.natural_order import NaturalOrder, natural_key
from overlays.models import Overlay
from overlays.tests.factories import make_overlay

NAMES = ["map 2", "Map 3", "map 10", "map 10b", "map 010c", "maps", "Server 9", "server 10 v2", "server 10 v12"]


def test_names_sort_by_their_numbers_in_python():
    assert sorted(set(NAMES), key=natural_key) == NAMES


@pytest.mark.django_db
def test_rows_sort_as_python_does(cast):
    for name in reversed(NAMES):
        make_overlay(name=name, owner=cast.owner)
    assert list(Overlay.objects.values_list("name", flat=True)) == NAMES
    assert list(Overlay.objects.order_by(NaturalOrder("name").desc()).values_list("name", flat=True)) == NAMES[::-1]

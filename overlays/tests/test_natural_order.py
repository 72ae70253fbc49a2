from __future__ import annotations

import pytest

from overlays.models import Overlay
from overlays.tests.factories import make_overlay


@pytest.mark.django_db
def test_overlays_are_listed_in_the_order_of_people(cast):
    names = ["map 2", "Map 3", "map 10", "maps"]
    for name in reversed(names):
        make_overlay(name=name, owner=cast.owner)
    assert list(Overlay.objects.values_list("name", flat=True)) == names

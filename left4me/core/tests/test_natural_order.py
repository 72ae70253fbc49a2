from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from left4me.core.natural_order import NaturalOrder, natural_key

NAMES = ["map 2", "Map 3", "map 10", "map 10b", "map 010c", "maps", "Server 9", "server 10 v2", "server 10 v12"]


def test_names_sort_by_their_numbers_in_python():
    assert sorted(set(NAMES), key=natural_key) == NAMES


def test_numbers_are_compared_by_their_last_twelve_digits():
    assert natural_key("a" + "9" * 13) == natural_key("a" + "9" * 12)
    assert natural_key("a1" + "0" * 11) > natural_key("a" + "9" * 11)


@pytest.mark.django_db
def test_rows_sort_as_python_does():
    names = [*NAMES, "z" + "9" * 11, "z1" + "0" * 11]
    for name in reversed(names):
        Group.objects.create(name=name)
    order = NaturalOrder("name")
    assert list(Group.objects.order_by(order).values_list("name", flat=True)) == names
    assert list(Group.objects.order_by(order.desc()).values_list("name", flat=True)) == names[::-1]

"""Which lists apply to which servers: what rows say, and what the database is asked."""

from __future__ import annotations

import pytest

from left4me.testing.cast import Cast
from livestate.bans import effective
from livestate.bans.models import Subscription
from livestate.bans.tests.factories import make_list
from servers.models import Server
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


def test_the_rules_of_rows_and_of_the_database_are_one(cast: Cast) -> None:
    here, there = make_server(cast.owner), make_server(cast.stranger)
    own, of_server = make_list(cast.owner, name="own"), make_list(cast.owner, server=here)
    make_list(cast.stranger, name="theirs")
    shared, narrow, private = (
        make_list(cast.admin, name=name, is_shared=name != "private") for name in ("shared", "narrow", "private")
    )
    Subscription.objects.create(ban_list=shared, user=cast.owner)
    Subscription.objects.create(ban_list=narrow, user=cast.stranger, server=there)
    Subscription.objects.create(ban_list=private, user=cast.owner)
    expected = {
        cast.owner: {own.pk, of_server.pk, shared.pk},
        cast.stranger: {narrow.pk, *cast.stranger.ban_lists.values_list("pk", flat=True)},
    }
    for owner, lists in expected.items():
        rows = Server.objects.filter(owner=owner)
        assert {pk for each in effective.lists_of(rows).values() for pk in each.ids} == lists
        assert set(effective.lists_of_any(rows).values_list("pk", flat=True)) == lists

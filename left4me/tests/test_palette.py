"""What the palette finds for whom."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from left4me.jobs.models import Job
from livestate.tests.factories import make_profile, make_session
from servers.models import ServerShare
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = pytest.mark.django_db


@pytest.fixture
def find(client: Client, cast):
    """`find(user, "text")` is {title: options} of the groups."""

    def find(user, typed: str) -> dict[str, list[str]]:
        client.force_login(user)
        groups = client.get("/palette", {"q": typed}).context["groups"]
        return {group.title: [str(option.title) for option in group.options] for group in groups}

    return find


@pytest.fixture
def friday(cast):
    server = make_server(cast.owner, name="Friday", host=make_host(last_seen_at=timezone.now()))
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    return server


def test_a_server_is_found_with_what_the_visitor_may_do_with_it(find, friday, cast):
    assert find(cast.owner, "frid") == {"Servers": ["Friday"], "Actions": ["Start: Friday"]}
    assert find(cast.operator, "start fri")["Actions"] == ["Start: Friday"]
    assert "Actions" not in find(cast.operator, "stop fri")
    assert find(cast.viewer, "frid") == {"Servers": ["Friday"]}
    assert "Servers" not in find(cast.stranger, "frid")


def test_pages_are_found_that_the_visitor_may_open(find, cast):
    assert find(cast.owner, "overl")["Pages"] == ["Overlays", "New overlay"]
    assert "Pages" not in find(cast.owner, "audit")
    assert find(cast.admin, "audit")["Pages"] == ["Audit log"]
    assert "Dashboard" in find(cast.owner, "")["Pages"]


def test_players_are_found_by_their_name_now_and_then_on_visible_servers_only(find, friday, cast):
    now = timezone.now()
    make_session(friday, 7, now, None, name_at_join="Nick")
    make_profile(7, now, persona_name="Gambler")
    assert find(cast.viewer, "nick")["Players"] == ["Gambler"]
    assert find(cast.viewer, "gamb")["Players"] == ["Gambler"]
    assert "Players" not in find(cast.stranger, "nick")


def test_jobs_and_blueprints_are_found_by_their_owners(find, friday, cast):
    job = Job.objects.create(user=cast.owner, operation="start", resource=friday.resource, host="local")
    make_blueprint(cast.owner, name="Versus with maps")
    assert find(cast.owner, f"#{job.pk}")["Jobs"] == [f"#{job.pk} Start: Friday"]
    assert find(cast.owner, "friday")["Jobs"] == [f"#{job.pk} Start: Friday"]
    assert find(cast.owner, "with maps")["Blueprints and overlays"] == ["Versus with maps"]
    for foreign in (f"#{job.pk}", "with maps"):
        assert find(cast.stranger, foreign) == {}


def test_the_palette_takes_as_many_queries_for_many_servers(client, cast, friday, django_assert_max_num_queries):
    for number in range(8):
        make_server(cast.owner, name=f"Friday {number}")
    client.force_login(cast.owner)
    with django_assert_max_num_queries(16):
        client.get("/palette", {"q": "friday"})

"""The list of servers: filters, orders, tags, and requests on several servers at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from left4me.jobs.models import Job
from servers.models import Server, ServerShare
from servers.tests.factories import make_host, make_server, share

pytestmark = pytest.mark.django_db


@pytest.fixture
def servers(cast):
    """Two of the owner, one of a stranger that is shared with the owner to view."""
    now = timezone.now()
    here, there = (
        make_host(last_seen_at=now),
        make_host(name="there", first_port=28000, last_port=28100, last_seen_at=now),
    )
    friday = make_server(cast.owner, name="Friday", host=here, tags=",versus,weekly,")
    monday = make_server(
        cast.owner, name="Monday", host=there, tags=",coop,", started_at=now, last_error="It did not start."
    )
    shared = make_server(cast.stranger, name="Shared", host=here, started_at=now - timedelta(days=1))
    share(shared, cast.owner, ServerShare.Role.VIEWER)
    return [friday, monday, shared]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Friday", "Monday", "Shared"]),
        ("q=DAY", ["Friday", "Monday"]),
        ("tag=versus", ["Friday"]),
        ("tag=vers", []),
        ("owner=stan", ["Shared"]),
        ("host=there", ["Monday"]),
        ("sort=started", ["Monday", "Shared", "Friday"]),
        ("sort=host", ["Friday", "Shared", "Monday"]),
        ("sort=attention", ["Monday", "Friday", "Shared"]),
        ("sort=created", ["Shared", "Monday", "Friday"]),
        ("sort=nonsense&state=nonsense", ["Friday", "Monday", "Shared"]),
    ],
)
def test_the_list_is_filtered_and_sorted_alike_on_page_and_api(client, cast, servers, query, names):
    client.force_login(cast.owner)
    page = client.get(f"/servers?{query}")
    assert [status.server.name for status in page.context["statuses"]] == names
    answer = client.get(f"/api/v1/servers?{query}")
    if "nonsense" not in query:
        assert [row["name"] for row in answer.json()["items"]] == names


def test_filters_are_offered_only_where_there_is_a_choice(client, cast, servers):
    client.force_login(cast.owner)
    choices = client.get("/servers").context["choices"]
    assert (choices.owners, choices.hosts) == (["anna", "stan"], ["local", "there"])
    assert choices.tags == ["coop", "versus", "weekly"]
    client.force_login(cast.stranger)
    choices = client.get("/servers").context["choices"]
    assert (choices.owners, choices.hosts, choices.tags) == ([], [], [])


def test_each_of_several_servers_gets_a_job_or_the_reason_why_not(client, cast, servers):
    client.force_login(cast.owner)
    friday, _monday, shared = servers
    hidden = make_server(cast.stranger)
    sent = {"server": [friday.pk, shared.pk, hidden.pk, "x"], "operation": "start"}
    answer = client.post("/servers/actions", sent, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert "Friday" in page and "view this server" in page and hidden.name not in page and "<html" not in page
    assert answer["HX-Trigger"] == '{"servers-changed": {}}'
    assert [(job.operation, job.resource) for job in Job.objects.all()] == [("start", friday.resource)]


def test_without_a_script_the_results_stand_above_the_list(client, cast, servers):
    client.force_login(cast.owner)
    page = client.post("/servers/actions", {"server": servers[0].pk, "operation": "restart"}).content.decode()
    assert "Restart: " in page and "Monday" in page
    for sent in ({"operation": "start"}, {"server": servers[0].pk, "operation": "delete"}):
        assert client.post("/servers/actions", sent).status_code == 200
    assert Job.objects.count() == 1


def test_the_api_answers_for_each_server(api, cast, servers):
    api = api.by(cast.owner)
    body = {"operation": "start", "server_ids": [server.pk for server in servers]}
    status, outcomes = api.post("/servers/actions", body)
    assert status == 200
    assert [bool(each["job"]) for each in outcomes] == [True, True, False]
    assert api.post("/servers/actions", {**body, "operation": "delete"})[0] == 422


def test_tags_are_written_with_commas_in_the_form_and_as_a_list_in_the_api(client, api, cast, servers):
    client.force_login(cast.owner)
    friday = servers[0]
    form = client.get(f"/servers/{friday.pk}/settings").context["form"]
    assert form["tag_list"].value() == "versus, weekly"
    sent = {"name": "Friday", "blueprint": friday.blueprint_id, "port": friday.port, "version": 1}
    client.post(f"/servers/{friday.pk}/settings", {**sent, "tag_list": " Late  Night, versus,,VERSUS"})
    assert Server.objects.get(pk=friday.pk).tag_list == ["late night", "versus"]
    api = api.by(cast.owner)
    assert api.patch(f"/servers/{friday.pk}", {"tags": ["a,b"]})[1]["tags"] == ["a b"]
    assert api.patch(f"/servers/{friday.pk}", {"tags": []})[1]["tags"] == []
    assert api.patch(f"/servers/{friday.pk}", {"tags": ["x" * 33]})[0] == 422


def test_a_row_shows_what_has_changed_since_it_was_rendered(client, cast, servers):
    friday = servers[0]
    client.force_login(cast.owner)

    def row():
        page = client.get("/servers").content.decode()
        return page.partition(f'<tr id="server-{friday.pk}"')[2].partition("</tr>")[0]

    seen = [row()]
    for values in (
        {"name": "Freitag"},
        {"tags": ",survival,"},
        {"port": 28015},
        {"last_error": "It did not start.", "desired_state": "running"},
        {"actual_state": "running", "started_at": timezone.now(), "last_error": ""},
        {"hung_since": timezone.now()},
    ):
        Server.objects.filter(pk=friday.pk).update(**values)
        seen.append(row())
    assert all(seen)
    without_tokens = {re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", html) for html in seen}
    assert len(without_tokens) == len(seen)


def test_rows_of_one_server_differ_by_what_each_viewer_may_do(client, cast, servers):
    shared = servers[2]
    for user, may_start in ((cast.owner, False), (cast.stranger, True)):
        client.force_login(user)
        page = client.get("/servers").content.decode()
        row = page.partition(f'<tr id="server-{shared.pk}"')[2].partition("</tr>")[0]
        assert ('value="start"' in row) is may_start
        assert ("· stan" in row.replace(cast.stranger.username, "stan")) is not may_start

"""Charts: what the API and the pages tell of figures, and what a browser draws of them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

import pytest
import redis
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from livestate.figures import sparklines
from livestate.tests.factories import make_snapshot, record_figures
from servers.models import Server, StateChange
from servers.tests.factories import make_server, share

MIB = 1 << 20
ROUND = 20_000


@pytest.fixture
def server(cast) -> Server:
    """A server whose last half hour is known, with a crash and two maps."""
    now = timezone.now()
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, started_at=now - timedelta(hours=2))
    share(server, cast.viewer, "viewer")
    start = now - timedelta(minutes=30)
    record_figures(
        server,
        start,
        [
            {
                "players": step // 60,
                "cpu": 20 + 10 * math.sin(step / 9),
                "memory": 500 * MIB,
                "ping": 0.02,
                "disk": MIB,
            }
            for step in range(180)
        ],
    )
    make_snapshot(server, start, start + timedelta(minutes=5), map="c1m1_hotel")
    make_snapshot(server, start + timedelta(minutes=5), now, map="c2m3_coaster")
    for minutes, state in ((60, "starting"), (20, "crashed"), (19, "starting"), (18, "running")):
        StateChange.objects.create(
            server=server, at=now - timedelta(minutes=minutes), state=state, detail=f"why {state}"
        )
    return server


@pytest.mark.django_db
class TestApi:
    def read(self, client, user, server, **query):
        client.force_login(user)
        return client.get(f"/api/v1/servers/{server.pk}/figures", query)

    @pytest.mark.parametrize(("who", "status"), [("owner", 200), ("viewer", 200), ("admin", 200), ("stranger", 404)])
    def test_who_sees_a_server_reads_its_figures(self, client, cast, server, who, status):
        assert self.read(client, getattr(cast, who), server).status_code == status

    def test_figures_begin_where_the_data_begins(self, client, cast, server):
        found = self.read(client, cast.owner, server, range="1h").json()
        assert found["step_seconds"] == 10
        by_name = {figure["name"]: figure for figure in found["figures"]}
        assert set(by_name) == {"players", "cpu", "memory", "ping", "disk"}
        assert by_name["memory"] == {
            "name": "memory",
            "unit": "bytes",
            "mean": [500 * MIB] * 180 + [None] * (len(by_name["memory"]["mean"]) - 180),
            "high": by_name["memory"]["mean"],
        }
        assert len(by_name["memory"]["mean"]) <= 182

    def test_crashes_starts_and_maps_are_marked(self, client, cast, server):
        marks = self.read(client, cast.owner, server, range="1h").json()["marks"]
        told = [(mark["kind"], mark["title"], mark["detail"]) for mark in marks]
        # The start of an hour ago is before the data.
        assert told == [
            ("map", "c2m3_coaster", "Dark Carnival: The Coaster"),
            ("crash", "Crashed", "why crashed"),
            ("start", "Started", "why starting"),
        ]

    def test_changes_of_the_map_are_left_out_of_long_ranges(self, client, cast, server):
        marks = self.read(client, cast.owner, server, range="24h").json()["marks"]
        assert "map" not in {mark["kind"] for mark in marks}

    def test_a_range_that_there_is_not_is_refused(self, client, cast, server):
        assert self.read(client, cast.owner, server, range="2h").status_code == 422

    def test_the_figures_of_a_host_are_for_everybody_who_is_signed_in(self, client, cast, server):
        record_figures(server.host, timezone.now() - timedelta(minutes=5), [{"cpu": 12.0, "sent": 1e6}] * 6)
        path = f"/api/v1/hosts/{server.host.pk}/figures"
        assert client.get(path).status_code == 401
        client.force_login(cast.stranger)
        found = client.get(path, {"range": "1h"}).json()
        assert found["figures"][0]["mean"][0] == 12.0
        assert "marks" not in found


@pytest.mark.django_db
class TestPages:
    def test_the_overview_asks_for_the_charts_only_when_they_are_shown(self, client, cast, server):
        client.force_login(cast.viewer)
        page = client.get(reverse("servers:detail", args=[server.pk])).content.decode()
        charts = reverse("livestate:figures", args=[server.pk])
        assert re.search(rf'hx-get="{charts}"\s+hx-trigger="revealed"', page)

    def test_without_scripts_the_figures_are_a_table(self, client, cast, server):
        client.force_login(cast.viewer)
        page = client.get(reverse("livestate:figures", args=[server.pk]), {"range": "1h"}).content.decode()
        text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))
        assert "CPU, of one core" in text
        assert "Memory 524 MB 524 MB 524 MB" in text
        assert "Ping 20 ms 20 ms 20 ms" in text
        assert "Crashed why crashed" in text

    def test_a_server_that_never_ran_says_so(self, client, cast):
        server = make_server(cast.owner)
        client.force_login(cast.owner)
        page = client.get(reverse("livestate:figures", args=[server.pk]), headers={"HX-Request": "true"})
        assert "No data in this time range" in page.content.decode()
        assert "<html" not in page.content.decode()


@pytest.mark.django_db
class TestSparklines:
    @pytest.fixture(autouse=True)
    def _redis(self, redis_client):
        """The drawings are cached there."""

    def test_lists_show_the_players_of_the_last_day(self, client, cast, server):
        make_server(cast.owner, name="never played")
        client.force_login(cast.owner)
        for path in (reverse("servers:list"), reverse("dashboard")):
            page = client.get(path).content.decode()
            assert page.count('<svg class="spark"') == 1
            assert "At most 2 players in the last 24 hours" in re.sub(r"\s+", " ", page)

    def test_they_are_drawn_once_for_everybody(self, cast, server, django_assert_num_queries):
        now = timezone.now()
        first = sparklines.of_servers([server], now=now)
        with django_assert_num_queries(0):
            assert sparklines.of_servers([server], now=now) == first

    def test_a_gap_in_the_data_is_a_gap_in_the_line(self, cast):
        server = make_server(cast.owner)
        now = timezone.now()
        for hours in (20, 4):
            record_figures(server, now - timedelta(hours=hours), [{"players": 4}] * 359)
        spark = sparklines.of_servers([server], now=now)[server.pk]
        assert (spark.line.count("M"), spark.area.count("Z"), spark.highest) == (2, 2, 4)

    def test_a_list_without_redis_has_no_sparklines(self, client, cast, server, monkeypatch):
        def refuse(*_):
            raise redis.ConnectionError

        monkeypatch.setattr("livestate.figures.sparklines.cache.get_many", refuse)
        client.force_login(cast.owner)
        assert "spark" not in client.get(reverse("servers:list")).content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_charts_are_drawn_read_by_hovering_and_change_their_range(cast, server, sign_in, axe):
    page = sign_in(cast.owner)
    page.goto(reverse("servers:detail", args=[server.pk]))
    # The element may be replaced at any moment, so it is found and scrolled to at once.
    page.evaluate("() => document.querySelector('#charts, .charts-awaited').scrollIntoView()")
    charts = page.locator("#charts[data-drawn]")
    expect(charts.locator("canvas")).to_have_count(5, timeout=ROUND)
    # The newest values stand there until a cursor asks for others.
    players = charts.locator("[data-plot=players] [data-value]")
    expect(players).to_have_text("2")
    over = charts.locator("[data-plot=cpu] .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    # The crash is about a third of the way in; the axis goes on while the test runs.
    moment = charts.locator("[data-moment]")
    for x in range(int(box["width"] * 0.2), int(box["width"] * 0.5), 4):
        page.mouse.move(box["x"] + x, box["y"] + 20)
        # The chart follows with the next frame, which may come late.
        page.evaluate("() => new Promise(requestAnimationFrame)")
        if "Crashed: why crashed" in moment.inner_text():
            break
    expect(moment).to_contain_text("Crashed: why crashed")
    # All charts show the same moment.
    expect(players).to_have_text(re.compile("^(0|1)$"))
    page.mouse.move(0, 0)
    expect(players).to_have_text("2")
    with page.expect_response(re.compile(r"/api/v1/servers/\d+/figures\?range=24h")):
        charts.get_by_role("link", name="24h").click()
    expect(page.locator("#charts[data-drawn] canvas")).to_have_count(5, timeout=ROUND)
    expect(page.locator("#charts [aria-current]")).to_have_text("24h")
    page.get_by_text("As a table").click()
    # From the top, where the bar that stays covers no button.
    page.evaluate("scrollTo(0, 0)")
    axe(page)

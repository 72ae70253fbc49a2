"""/metrics: who gets it, what it says, and that it costs little."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from left4me import streams
from left4me.alerts.tests.factories import make_channel
from left4me.core.redis import keys, pubsub
from left4me.core.redis.client import client
from left4me.core.web.processes.counts import SharedCounts
from left4me.core.web.sse import OpenStreams
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.site import pulse, sizes
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from livestate.models import Sweep
from livestate.tests.factories import make_session
from servers.models import Server
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem

TOKEN = "a-token-for-prometheus-1"
REPOSITORY = Path(__file__).parents[2]
DASHBOARD = REPOSITORY / "deploy/grafana/left4me.json"
RULES = REPOSITORY / "deploy/prometheus/left4me-rules.yml"
SCRAPE = REPOSITORY / "deploy/prometheus/prometheus.yml"


@pytest.fixture
def _own_redis(redis_client: redis.Redis) -> None:
    pubsub._Outage.until = 0.0


def scrape(**meta: Any) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of the labels' names."""
    answer = Client().get("/metrics", HTTP_HOST="127.0.0.1:8000", **meta)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.content.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


@pytest.mark.parametrize(
    ("meta", "status"),
    [
        ({}, 200),
        ({"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:8000"}, 200),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "192.0.2.7"}, 403),
        ({"REMOTE_ADDR": ""}, 403),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 403),
        ({"HTTP_X_FORWARDED_FOR": ""}, 403),
        ({"HTTP_FORWARDED": "for=127.0.0.1"}, 403),
        ({"HTTP_VIA": "1.1 caddy"}, 403),
        ({"HTTP_X_REAL_IP": "127.0.0.1"}, 403),
        ({"HTTP_HOST": "left4me.example.org"}, 403),
        ({"HTTP_HOST": "left4me.example.org", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, 200),
        ({"REMOTE_ADDR": "192.0.2.7", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, 200),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.7", "HTTP_AUTHORIZATION": f"bearer {TOKEN}"}, 200),
        ({"REMOTE_ADDR": "192.0.2.7", "HTTP_AUTHORIZATION": "Bearer wrong"}, 403),
        ({"REMOTE_ADDR": "192.0.2.7", "HTTP_AUTHORIZATION": f"Basic {TOKEN}"}, 403),
        ({"REMOTE_ADDR": "192.0.2.7", "HTTP_AUTHORIZATION": "Bearer "}, 403),
    ],
)
@pytest.mark.parametrize("behind_tls", [False, True])
def test_only_the_token_and_this_machine_open_it(
    db: None, _own_redis: None, settings: Any, meta: dict[str, str], status: int, behind_tls: bool
):
    settings.ALLOWED_HOSTS = ["127.0.0.1", "[::1]", "left4me.example.org"]
    settings.LEFT4ME_METRICS_TOKEN = TOKEN if "HTTP_AUTHORIZATION" in meta else ""
    settings.LEFT4ME_BEHIND_TLS = behind_tls
    answer = Client().get("/metrics", **{"HTTP_HOST": "127.0.0.1:8000", **meta})
    assert answer.status_code == status
    assert (b"left4me_build_info" in answer.content) is (status == 200)


def test_with_a_token_programs_of_this_machine_need_it_too(db: None, _own_redis: None, settings: Any):
    """On kernels before 6.7, games reach the web on loopback as well."""
    settings.LEFT4ME_METRICS_TOKEN = TOKEN
    assert Client().get("/metrics", HTTP_HOST="127.0.0.1:8000").status_code == 403
    assert Client().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 200


def test_without_a_token_none_opens_it(db: None, settings: Any):
    settings.LEFT4ME_METRICS_TOKEN = ""
    for given in ("Bearer ", "Bearer", "Bearer x"):
        assert Client().get("/metrics", REMOTE_ADDR="192.0.2.7", HTTP_AUTHORIZATION=given).status_code == 403


def furnish(owner: Any, *, servers: int) -> None:
    now = timezone.now()
    host = make_host(
        last_seen_at=now, facts={"disk": {"free": 7, "total": 9}, "look_seconds": 0.25, "runtime": "systemd"}
    )
    make_host(name="second", last_seen_at=now - timedelta(hours=1))
    blueprint = make_blueprint(owner)
    states = ["running", "crashed", "gave_up", "stopped"]
    Server.objects.bulk_create(
        Server(
            owner=owner,
            name=f"server {number}",
            blueprint=blueprint,
            host=host,
            port=20_000 + number,
            actual_state=states[number % 4],
            desired_state="running",
        )
        for number in range(servers)
    )
    Sweep.objects.create(
        host=host, writer="0" * 32, started_at=now - timedelta(seconds=3), seconds=0.5, answered=4, silent=2
    )
    for number, server in enumerate(Server.objects.all()[:30]):
        make_session(server, number, now)
    make_session(Server.objects.all()[0], 99, now, now)
    WorkshopItem.objects.create(steam_id=1, file_size=100, progress_bytes=40, progress_at=now)
    WorkshopItem.objects.create(steam_id=2, file_size=100, progress_bytes=40, progress_at=now - timedelta(hours=1))
    make_channel(owner, failures=2)


def test_it_says_what_the_rows_say(cast: Cast, _own_redis: None, monkeypatch: pytest.MonkeyPatch):
    furnish(cast.owner, servers=40)
    server = Server.objects.all()[0]
    jobs.request(operation="start", resource=server.resource, by=None, host="local")
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    counts = SharedCounts(2, OpenStreams.COLUMNS)
    here, elsewhere = (OpenStreams(counts, row) for row in (0, 1))
    here.add(1, 1)
    elsewhere.add(1, 2)
    monkeypatch.setattr(streams.application, "_open", here)
    found = scrape()
    for state in ("running", "crashed", "gave_up", "stopped"):
        assert found["left4me_servers", "local", state] == 10
    assert found["left4me_servers", "second", "running"] == 0
    assert found["left4me_servers_wanted",] == 40
    assert found["left4me_players", "local"] == 30
    assert found["left4me_jobs", "start", "queued"] == 1
    assert found["left4me_jobs_queued", "local"] == 1
    assert 119 < found["left4me_jobs_oldest_queued_seconds", "local"] < 180
    assert found["left4me_jobs_oldest_queued_seconds", "second"] == 0
    assert found["left4me_queue_messages", "local"] >= 0
    assert found["left4me_poll_sweep_seconds", "local"] == 0.5
    assert found["left4me_poll_silent", "local"] == 2
    assert found["left4me_status_sweep_seconds", "local"] == 0.25
    assert (found["left4me_host_up", "local"], found["left4me_host_up", "second"]) == (1, 0)
    assert found["left4me_host_seen_seconds", "second"] > 3500
    assert found["left4me_host_disk_free_bytes", "local"] == 7
    assert found["left4me_downloads",] == 1
    assert found["left4me_download_done_bytes",] == 40
    assert found["left4me_stream_clients",] == 3, "in all processes of the web"
    assert (found["left4me_web_processes",], found["left4me_web_processes_replaced_total",]) == (1, 0)
    assert found["left4me_alert_channels_failing",] == 1
    assert found["left4me_redis_up",] == 1


def test_it_says_what_fills_the_database_and_the_disks(
    cast: Cast, _own_redis: None, redis_client: redis.Redis, client
):
    furnish(cast.owner, servers=4)
    make_host(facts={"folders": {"at": 0, "sizes": {"game": 11, "overlays": 5}}})
    assert ("left4me_table_rows", "servers_server") not in scrape(), "before it was measured"
    sizes.measure_when_due()
    Server.objects.all().delete()
    sizes.measure_when_due()
    found = scrape()
    assert found["left4me_table_rows", "servers_server"] == 4, "measured again after some hours only"
    assert found["left4me_table_rows", "django_migrations"] > 0
    assert found["left4me_table_bytes", "servers_server"] >= 4096
    assert (found["left4me_host_folder_bytes", "game", "local"], redis_client.ttl(keys.TABLE_SIZES) > 0) == (11, True)
    client.force_login(cast.admin)
    assert "servers_server" in client.get("/admin/").content.decode()


def test_jobs_that_ended_are_counted_beyond_their_rows(
    cast: Cast, _own_redis: None, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):
            jobs.request(operation="start", resource=make_server(cast.owner).resource, by=None, host="local")
            drain(host="local")
    Job.objects.all().delete()
    assert scrape()["left4me_jobs_ended_total", "local", "start", "failed"] == 2


def test_a_scrape_costs_the_same_with_500_servers(cast: Cast, _own_redis: None, django_assert_num_queries):
    furnish(cast.owner, servers=500)
    with django_assert_num_queries(10):
        found = scrape()
    assert found["left4me_servers", "local", "running"] == 125


def test_without_redis_the_rows_still_speak(db: None, _own_redis: None, settings: Any):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    found = scrape()
    assert found["left4me_redis_up",] == 0
    assert ("left4me_queue_messages", "local") not in found
    assert found["left4me_host_up", "local"] == 0


def exported() -> set[str]:
    answer = Client().get("/metrics", HTTP_HOST="127.0.0.1:8000").content.decode()
    return set(re.findall(r"^# TYPE (\S+) ", answer, re.MULTILINE))


def named(text: str) -> set[str]:
    return set(re.findall(r"\bleft4me_[a-z_]+", text))


def expressions() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(panel["targets"] for panel in panels)
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [*asked, *(rule["expr"] for group in groups for rule in group["rules"])]


def test_dashboard_and_rules_ask_only_for_what_is_exported(cast: Cast, _own_redis: None):
    furnish(cast.owner, servers=4)
    client().hincrby(keys.ended_jobs("local"), "failed start", 1)
    pulse.beat()
    there = exported()
    asked = {name for expression in expressions() for name in named(expression)}
    assert len(asked) > 20
    assert asked <= there, asked - there


def test_every_figure_is_documented_and_every_documented_one_exported(cast: Cast, _own_redis: None):
    furnish(cast.owner, servers=4)
    pulse.beat()
    sizes.measure_when_due()
    text = (REPOSITORY / "docs/observability.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    documented = {f"left4me_{name}" for line in text.splitlines() for name in re.findall(r"^\| `left4me_(\w+)", line)}
    assert documented == exported()


def test_the_scrape_example_can_be_read_and_names_the_rules():
    example = yaml.safe_load(SCRAPE.read_text())
    assert example["scrape_configs"][0]["metrics_path"] == "/metrics"
    assert RULES.name in example["rule_files"][0]


def test_rules_say_what_to_do():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule
            assert rule["annotations"]["cure"], rule


def test_labels_name_no_person_and_no_server(cast: Cast, _own_redis: None):
    furnish(cast.owner, servers=4)
    answer = Client().get("/metrics", HTTP_HOST="127.0.0.1:8000").content.decode()
    assert cast.owner.username not in answer
    assert "server 1" not in answer

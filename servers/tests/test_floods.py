"""What a host reports of the packets that its firewall dropped, and where that is shown."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.testing.cast import Cast
from servers.hosts import floods
from servers.models import Host
from servers.state import floods as floods_state
from servers.tests.factories import make_host

START = 1_900_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "counters.json"


def write(file: Path, at: float, **counters: int) -> None:
    """What `nft --json list counters` writes."""
    listed: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]
    for name, packets in counters.items():
        counter = {"family": "inet", "name": name, "table": "left4me", "packets": packets, "bytes": 53 * packets}
        listed.append({"counter": counter})
    file.write_text(json.dumps({"nftables": listed}) + "\n")
    os.utime(file, (at, at))


def test_totals_go_on_when_the_rules_are_loaded_anew(file: Path):
    told = None
    for at, queries in ((0, 100), (15, 400), (30, 50), (45, 60)):
        write(file, START + at, queries=queries, rcon=0)
        told = floods.observe(told, now=START + at + 3, file=file)
        # A look in between finds what it knew.
        assert floods.observe(told, now=START + at + 10, file=file) == told
    assert told is not None
    assert told["total"] == {"queries": 460, "rcon": 0}
    assert told["rate"] == {"queries": 0.7, "rcon": 0.0}


@pytest.mark.parametrize("content", ["", "{", '{"nftables": [{"counter": {}}]}', "[1]"])
def test_a_file_that_is_being_written_changes_nothing_and_rules_that_are_gone_are_noticed(file: Path, content: str):
    assert floods.observe(None, now=START, file=file) is None
    write(file, START, queries=5)
    told = floods.observe(None, now=START, file=file)
    file.write_text(content)
    assert floods.observe(told, now=START + 15, file=file) == told
    later = floods.observe(told, now=START + 300, file=file)
    assert later is not None
    assert (later["is_loaded"], later["total"]) == (False, {"queries": 5})


def test_the_last_hour_is_counted_and_few_marks_are_kept(file: Path, db: None):
    told = None
    for step in range(4 * 180):
        write(file, START + 15 * step, queries=10 * step)
        told = floods.observe(told, now=START + 15 * step, file=file)
    assert told is not None
    assert len(told["marks"]) <= 14
    now = timezone.now()
    moved = {
        **told,
        "marks": [{**mark, "at": mark["at"] - told["read_at"] + now.timestamp()} for mark in told["marks"]],
    }
    host = make_host(last_seen_at=now, facts={"floods": moved})
    (queries,) = floods_state.of(host, now=now).dropped
    assert queries.total == 7190
    assert 2400 <= queries.hour <= 2600


def test_everybody_sees_what_a_host_drops_and_that_it_is_flooded(cast: Cast, client: Client):
    now = timezone.now()
    told = {
        "is_loaded": True,
        "limits": {"requests": 10, "requests_in_all": 200, "packets": 500},
        "total": {"rcon": 70, "queries": 1_234_567},
        "rate": {"rcon": 900.0, "queries": 310.0},
        "marks": [{"at": now.timestamp() - 600, "total": {"rcon": 60, "queries": 1_000_000}}],
    }
    host = make_host(last_seen_at=now, facts={"floods": told})
    client.force_login(cast.stranger)
    found = client.get(f"/api/v1/hosts/{host.pk}/floods").json()
    assert found == {
        "is_loaded": True,
        "is_flooded": True,
        "rate": 310.0,
        "limits": told["limits"],
        "dropped": [
            {"reason": "queries", "hour": 234_567, "total": 1_234_567},
            {"reason": "rcon", "hour": 10, "total": 70},
        ],
    }
    page = client.get(f"/hosts/{host.pk}").content.decode()
    assert "310 packets per second are being dropped" in page
    assert "1,234,567" in page
    # What it told before it went offline is no flood of now.
    Host.objects.update(last_seen_at=now - timedelta(hours=1))
    part = client.get(f"/hosts/{host.pk}/floods", headers={"HX-Request": "true"}).content.decode()
    assert "are being dropped" not in part
    assert "1,234,567" in part


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"runtime": "process"}, None),
        ({"runtime": "systemd"}, "systemctl enable --now left4me-firewall"),
        ({"floods": {"is_loaded": False, "total": {"queries": 3}}}, "systemctl enable --now left4me-firewall"),
        ({"floods": {"is_loaded": True, "limits": None, "total": {}}}, "LEFT4ME_FLOOD_LIMITS"),
    ],
)
def test_the_page_says_when_floods_are_not_limited(
    cast: Cast, client: Client, facts: dict[str, Any], said: str | None
):
    host = make_host(last_seen_at=timezone.now(), facts=facts)
    client.force_login(cast.admin)
    page = client.get(f"/hosts/{host.pk}").content.decode()
    assert ('id="host-floods"' in page) is (said is not None)
    assert (said or "") in page

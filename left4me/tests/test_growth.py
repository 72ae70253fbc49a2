"""Everything that is stored by itself has a bound: docs/operations.md names each, and what deletes keeps it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import time_machine
from celery.schedules import crontab
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.utils import timezone

from accounts.models import OneTimeLink, Session
from accounts.models.links import Purpose
from deploy.ops.layout import Layout
from left4me.alerts.models import Channel, Delivery, Incident
from left4me.alerts.tests.factories import make_channel
from left4me.audit.models import AuditEntry
from left4me.celery import app
from left4me.core.redis import keys
from left4me.jobs.models import Job, JobLog
from left4me.schedules.models import BulkAction, Run
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.tests.test_documents import tracked
from livestate import totals
from livestate.bans.models import Ban, BanList
from livestate.bans.tests.factories import make_list
from livestate.matches.models import Match, MatchPlayer
from livestate.matches.tests.factories import make_match
from livestate.models import HostFigures, Order, PlayerSession, ServerFigures, Snapshot, SteamProfile
from livestate.rotation.models import GameEvent
from overlays.models import DeletedFile, Overlay, Upload
from overlays.tests.factories import make_overlay
from servers.models import DeletedServer, Server, StateChange
from servers.tests.factories import make_server
from workshop.models import WorkshopContents, WorkshopItem

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/operations.md").read_text()
# Two years that are over: PostgreSQL asks its own clock whether an audit entry is old enough to go.
BEGIN = datetime(2020, 1, 1, 12, tzinfo=UTC)
# What deletes runs once in a step.
STEP = timedelta(days=30)
YEAR = 13  # steps
ROWS = 2  # of each table in each step
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "MB": 1_000_000, "GB": 1_000_000_000}
_NUMBER = re.compile(r"(\d[\d,]*)(?: (second|minute|hour|day|MB|GB)?)?")
_DATED = re.compile(r"\d days")


@dataclass(frozen=True)
class Row:
    names: list[str]
    bound: str
    set_by: list[str]


def rows(heading: str) -> list[Row]:
    """The rows of the table below a heading of the document."""
    text = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return [Row(re.findall(r"`([^`]+)`", row[0]), row[2], re.findall(r"`([^`]+)`", row[3])) for row in cells[1:]]


BOUNDS = [
    row
    for heading in ("Tables of the database", "Folders of the data", "Other folders of an installation", "Redis")
    for row in rows(heading)
]


def value(name: str) -> Any:
    """The value of a setting, or of a constant as `module.py:NAME`."""
    path, _, constant = name.partition(":")
    if not constant:
        return getattr(settings, name)
    found: Any = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for part in constant.split("."):
        found = getattr(found, part)
    return found


def in_base_units(name: str) -> set[float]:
    """What a number of the document may be when it names this value: as it is, or in seconds or bytes."""
    found = value(name)
    if isinstance(found, timedelta):
        return {found.total_seconds()}
    unit = next((size for word, size in (("_DAYS", 86400), ("_MB", 10**6), ("_GB", 10**9)) if name.endswith(word)), 1)
    # The document rounds sizes of powers of two.
    return {found * unit, round(found / 1024**2) * 10**6, round(found / 1024**3) * 10**9}


@pytest.mark.parametrize("row", [row for row in BOUNDS if row.set_by], ids=lambda row: row.names[:1])
def test_each_bound_is_that_of_the_program(row: Row):
    numbers = [int(number.replace(",", "")) * UNITS.get(unit, 1) for number, unit in _NUMBER.findall(row.bound)]
    numbers = numbers[: len(row.set_by)]
    assert len(numbers) == len(row.set_by), row
    for number, name in zip(numbers, row.set_by, strict=True):
        assert number in in_base_units(name), f"{row.bound}: {name} is {value(name)}"


def test_every_table_has_a_bound():
    tables = [name for row in rows("Tables of the database") for name in row.names]
    models = [*apps.get_models(include_auto_created=True), MigrationRecorder.Migration]
    assert sorted(tables) == sorted(model._meta.db_table for model in models)


def test_every_key_of_redis_has_a_bound():
    named = {name for row in rows("Redis") for name in row.names}
    assert named == {pattern.removeprefix("host:") for pattern in key_patterns()}


def key_patterns() -> Iterator[str]:
    for name, member in vars(keys).items():
        if inspect.isfunction(member):
            made = member(*["*" for _ in inspect.signature(member).parameters])
            yield from made.values() if isinstance(made, dict) else [re.sub(r"\*(:\*)+$", "*", made)]
        elif isinstance(member, str) and name.isupper():
            yield f"{member}*" if name in {"CACHE", "KOMBU_BINDINGS"} else member


def test_every_folder_of_the_data_has_a_bound():
    """Those that the source names, as `LEFT4ME_ROOT / "name"` and the like."""
    place = r"(?:LEFT4ME_ROOT\)?|\b_?root(?:\(\))?)"
    pattern = re.compile(place + r" / [\"'](\w[\w.]+)")
    homes = ("deploy/up/", "left4me/", "overlays/", "servers/hosts/", "workshop/", "servers/gamehost/storage.py")
    sources = [path for path in tracked() if path.startswith(homes) and path.endswith(".py") and "/test" not in path]
    named = {name for path in sources for name in pattern.findall((ROOT / path).read_text())}
    assert {"game", "workshop_cache", "backups", "overlay_copies", "broker", "servers"} <= named, named
    documented = {name for row in rows("Folders of the data") for name in row.names}
    assert named <= documented, named - documented


def test_every_folder_of_an_installation_has_a_bound():
    layout = Layout()
    grows = (layout.releases, layout.archives, layout.venvs, layout.source, layout.backups, layout.redis_data)
    documented = {name for row in rows("Other folders of an installation") for name in row.names}
    assert {str(path) for path in (*grows, layout.settings, layout.redis_settings)} == documented


def test_every_task_that_deletes_is_listed_with_its_time():
    listed = dict(re.findall(r"^\| `([\w-]+-(?:prune|tidy))` \| ([^|]+) \|", DOCUMENT, re.MULTILINE))
    deleting = {name: entry["schedule"] for name, entry in settings.CELERY_BEAT_SCHEDULE.items() if deletes(name)}
    assert set(listed) == set(deleting)
    for name, at in listed.items():
        schedule = deleting[name]
        assert isinstance(schedule, crontab)
        hour, minute = re.fullmatch(r"(?:(\d+):|every hour, at minute )(\d+)", at).groups()
        assert schedule.minute == {int(minute)}, name
        assert schedule.hour == ({int(hour)} if hour else set(range(24))), name


def deletes(name: str) -> bool:
    return name.endswith(("-prune", "-tidy"))


class Site:
    """An installation that is used in every step as much as in the one before."""

    def __init__(self, cast: Cast) -> None:
        self.owner = cast.owner
        self.server: Server = make_server(cast.owner)
        self.ban_list: BanList = make_list(cast.owner)
        self.channel: Channel = make_channel(cast.owner)
        self.overlay: Overlay = make_overlay(owner=cast.owner)
        self.content = ContentType.objects.get_for_model(Server)

    def use(self, step: int, now: datetime) -> None:
        """Add ROWS rows to each table that time bounds."""
        user, server, later = self.owner, self.server, now + timedelta(hours=1)
        for number in range(step * ROWS, (step + 1) * ROWS):
            job = Job.objects.create(
                operation="start", resource=server.resource, host="local", state="succeeded", created_at=now,
                finished_at=now, exit_code=0,
            )  # fmt: skip
            JobLog.objects.create(job=job, seq=1, stream="stdout", line="x", created_at=now)
            item = WorkshopItem.objects.create(steam_id=number + 1)
            WorkshopContents.objects.create(item=item, packed_paths=b"")
            bulk = BulkAction.objects.create(user=user, action="stop", created_at=now, ended_at=now, state="done")
            self._add(number, now, later, bulk=bulk)

    def _add(self, number: int, now: datetime, later: datetime, *, bulk: BulkAction) -> None:
        user, server = self.owner, self.server
        match: Match = make_match(server, state="ended", created_at=now, ended_at=now)
        hour = now.replace(minute=0) + timedelta(hours=number % ROWS)
        added: list[Model] = [
            AuditEntry(actor="x", action="x", created_at=now),
            LogEntry(user=user, content_type=self.content, object_id="1", action_flag=2, action_time=now),
            Session(digest=str(number), data="", expires_at=now + timedelta(days=14)),
            OneTimeLink(purpose=Purpose.INVITATION, digest=str(number), created_by=user, expires_at=later),
            Incident(key=f"open {number}", subject="x", opened_at=now, last_at=now),
            Incident(key="x", subject="x", opened_at=now, last_at=now, closed_at=now),
            Delivery(channel=self.channel, event="test", title="x", created_at=now, state="sent", ended_at=now),
            Ban(ban_list=self.ban_list, target=f"lifted {number}", created_at=now, ended_at=now),
            Ban(ban_list=self.ban_list, target=f"expired {number}", created_at=now, expires_at=later),
            StateChange(server=server, at=now, state=Server.State.STOPPED),
            DeletedServer(
                server_id=1_000_000 + number, owner=user, host=server.host, name="x", port=1, deleted_at=now
            ),
            Snapshot(
                server=server, started_at=now, last_seen_at=now, players=0, max_players=8, bots=0, hibernating=False
            ),
            PlayerSession(server=server, steam_id_64=number, joined_at=now, left_at=now),
            SteamProfile(steam_id_64=number, fetched_at=now),
            Order(server=server, kind="say", value="x", created_at=now),
            GameEvent(server=server, key=f"{number}", name="round_end", at=now),
            ServerFigures(server=server, step=10, start=hour),
            HostFigures(host=server.host, step=10, start=hour),
            Upload(overlay=self.overlay, user=user, path=f"{number}", size=1),
            DeletedFile(overlay=self.overlay, path=f"{number}", deleted_at=now),
            Run(server=server, due_at=now, ended_at=now, state="started", action="restart"),
            Run(server=server, due_at=now, ended_at=now, state="started", action="restart", bulk=bulk),
            MatchPlayer(match=match, steam_id_64=number),
        ]
        for model in dict.fromkeys(type(row) for row in added):
            model._default_manager.bulk_create(row for row in added if type(row) is model)
        with transaction.atomic():
            totals.refresh({(server.pk, number)})

    def delete_old(self) -> None:
        """Run every periodic task that deletes, and the jobs that they request."""
        for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
            if deletes(name):
                asked = entry["task"] == "servers.ask_hosts"
                app.tasks[entry["args"][0] if asked else entry["task"]]()
        drain(host="local")


def test_after_two_years_of_the_same_use_no_table_has_grown_since_the_first(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_client: redis.Redis
):
    monkeypatch.setattr(settings, "LEFT4ME_ROOT", tmp_path)
    app.loader.import_default_modules()
    counted = {}
    with time_machine.travel(BEGIN, tick=False) as travel:
        site = Site(cast)
        for step in range(2 * YEAR + 1):
            travel.move_to(BEGIN + step * STEP)
            site.use(step, timezone.now())
            site.delete_old()
            if step in {0, YEAR, 2 * YEAR}:
                counted[step] = counts()
    dated = {name for row in rows("Tables of the database") if _DATED.search(row.bound) for name in row.names}
    assert dated <= {name for name, number in counted[0].items() if number}, "each is filled"
    assert counted[2 * YEAR] == counted[YEAR]
    assert counted[YEAR]["audit_auditentry"] == ROWS * YEAR


def counts() -> Counter[str]:
    return Counter({model._meta.db_table: model._default_manager.count() for model in apps.get_models()})

"""Moments as people read them."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from left4me.core import moments

NOW = datetime(2026, 11, 21, 19, 0, 5, tzinfo=UTC)


def test_moments_are_written_in_the_zone_of_the_viewer_and_name_another_one():
    with timezone.override("Europe/Berlin"):
        assert moments.day(NOW + timedelta(hours=4)) == "22 Nov 2026"
        assert moments.minute(NOW) == "21 Nov 2026, 20:00"
        assert moments.second(NOW) == "21 Nov 2026, 20:00:05 CET"
        assert moments.is_of_viewer()
    assert moments.minute(NOW) == "21 Nov 2026, 19:00 UTC"
    assert not moments.is_of_viewer()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 sec. ago"),
        (-59, "59 sec. ago"),
        (-60, "1 min. ago"),
        (59, "in 59 sec."),
        (60, "in 1 min."),
        (-3599, "59 min. ago"),
        (-3600, "1 hr. ago"),
        (2 * 3600, "in 2 hr."),
        (-86_399, "23 hr. ago"),
        (-86_400, "1 day ago"),
        (2 * 86_400, "in 2 days"),
        (86_400, "in 1 day"),
        (-30 * 86_400 + 1, "29 days ago"),
        (-30 * 86_400, "1 mo. ago"),
        (60 * 86_400, "in 2 mo."),
        (-360 * 86_400 + 1, "11 mo. ago"),
        (-360 * 86_400, "1 yr. ago"),
        (100 * 360 * 86_400, "in 100 yr."),
    ],
)
def test_a_moment_is_some_steps_away(seconds: float, words: str):
    assert moments.relative(NOW + timedelta(seconds=seconds), now=NOW) == words


def test_zones_are_known_by_name_and_those_of_places_are_offered():
    berlin = moments.zone("Europe/Berlin")
    assert berlin is not None and berlin.key == "Europe/Berlin"
    assert moments.zone("Europe/Nowhere") is None
    names = moments.zone_names()
    assert names == sorted(names)
    assert {"Europe/Berlin", "America/New_York", "UTC"} <= set(names)
    assert not {"EST", "Etc/GMT+1", "US/Eastern"} & set(names)


def test_a_zone_that_does_not_exist_is_refused():
    moments.check_zone("UTC")
    with pytest.raises(ValidationError, match="Unknown time zone “Mars”"):
        moments.check_zone("Mars")


@pytest.mark.parametrize("content", [None, b"not a zone"])
def test_a_machine_without_a_readable_zone_has_utc(monkeypatch, tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "localtime").write_bytes(content)
    monkeypatch.setattr(moments, "Path", lambda path: tmp_path / Path(path).name)
    assert moments.machine_zone() == zoneinfo.ZoneInfo("UTC")


def test_a_machine_has_the_zone_that_its_file_says(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(moments, "Path", lambda path: tmp_path / Path(path).name)
    source = next(Path(folder, "Asia/Tokyo") for folder in zoneinfo.TZPATH if Path(folder, "Asia/Tokyo").exists())
    (tmp_path / "localtime").write_bytes(source.read_bytes())
    assert NOW.astimezone(moments.machine_zone()).hour == 4

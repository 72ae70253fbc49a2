from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from left4me.core import machine_backups


@pytest.fixture
def stored(monkeypatch) -> dict[str, Any]:
    """How the list is stored; the owner is not changed, which only root can do."""
    seen: dict[str, Any] = {}

    def write(path: Path, content: str, **options: Any) -> None:
        path.write_text(content)
        seen.update(options)

    monkeypatch.setattr(machine_backups.atomic, "write", write)
    return seen


def test_the_list_names_what_is_there_the_newest_first(tmp_path: Path, stored: dict[str, Any]):
    listed = [{"name": name, "created_at": f"2026-01-0{day}"} for day, name in enumerate("abc", 1)]
    machine_backups.write(tmp_path, listed)
    for name in "ac":
        (tmp_path / name).touch()
    assert machine_backups.read(tmp_path) == [listed[2], listed[0]]
    assert stored == {"mode": 0o640, "durable": True, "owner": (0, tmp_path.stat().st_gid)}


def test_the_list_has_a_time_once_it_is_there(tmp_path: Path, stored: dict[str, Any]):
    assert machine_backups.changed_at(tmp_path) == 0
    machine_backups.write(tmp_path, [])
    os.utime(tmp_path / "list.json", (1_000_000, 1_000_000))
    assert machine_backups.changed_at(tmp_path) == 1_000_000


def test_a_list_that_is_not_there_or_damaged_says_so(tmp_path: Path):
    with pytest.raises(OSError):
        machine_backups.read(tmp_path)
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(ValueError):
        machine_backups.read(tmp_path)


def test_the_documents_say_when_a_backup_is_late():
    hours = machine_backups.LATE_AFTER.total_seconds() / 3600
    assert f"older than {hours:.0f} hours" in Path(settings.BASE_DIR, "docs/backup.md").read_text()

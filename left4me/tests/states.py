"""The states of an installation whose pages are looked at, and the sizes of the windows that show them."""

from __future__ import annotations

from django.utils import timezone

from left4me.tests import inventory
from left4me.tests.crowd import crowd
from servers.hosts import rpc

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def empty(owner, friend, monkeypatch):
    silent(monkeypatch)
    return inventory.furnish_bare(owner, friend, timezone.now())


def full(owner, friend, monkeypatch):
    monkeypatch.setattr(rpc, "call", answer)
    things = inventory.furnish_all(owner, friend, timezone.now())
    crowd(owner, timezone.now())
    return things


def bad(owner, friend, monkeypatch):
    silent(monkeypatch)
    return inventory.furnish_spoiled(owner, friend, timezone.now())


def silent(monkeypatch) -> None:
    def call(*args, **values):
        raise rpc.HostSilent

    monkeypatch.setattr(rpc, "call", call)


def answer(host, procedure, **values):
    """What a host that is well answers to pages."""
    file = {"name": "logs/L1121000.log", "size": 120_000, "changed_at": timezone.now().isoformat()}
    return rpc.Reply(
        {
            "log_files": [file, file | {"name": f"logs/{'long' * 12}.log"}],
            "log_search": [{"number": 1, "text": "x" * 300}],
            "busy_ports": {},
            "dump_piece": {"size": 0},
            "backup_piece": {"size": 0},
            "own_copies": {
                "files": [
                    {
                        "path": f"left4dead2/cfg/{'long' * 12}.cfg",
                        "overlay": overlay,
                        "state": state,
                        "size": 12_000,
                        "changed_at": 1_790_000_000,
                        "original_changed_at": 1_790_100_000,
                    }
                    for overlay, state in (
                        ("", "outdated"),
                        ("", "folder"),
                        ("", "deleted"),
                        ("SourceMod", "changed"),
                        ("", "kept"),
                        ("", "same"),
                    )
                ],
                "more": 12,
                "aside": {"files": 2, "at": 1_790_000_000},
            },
            "backup_plan": {
                "unchanged": 12,
                "added": {"count": 1, "paths": [f"left4dead2/cfg/{'long' * 12}.cfg"]},
                "replaced": {"count": 1, "paths": ["left4dead2/cfg/server.cfg"]},
                "removed": {"count": 0, "paths": []},
            },
            "machine_backups": {"is_nightly": True, "items": [machine_backup("timer"), machine_backup("hand")]},
            "crash_dumps": [
                {
                    "name": "2f0c.dmp",
                    "size": 120_000,
                    "changed_at": timezone.now().isoformat(),
                    "is_readable": True,
                    "reason": "signal 11 (segmentation fault)",
                }
            ],
        }.get(procedure)
    )


def machine_backup(by):
    parts = ("database", "settings", "overlays", "servers", "deleted", "workshop_cache")
    return {
        "name": "left4me-20261121T033000Z.tar",
        "size": 73_400_000_000,
        "created_at": timezone.now().isoformat(),
        "made_by": by,
        "release": "20261101-abc1234",
        "parts": {part: {"files": 12, "bytes": 1_234_000_000} for part in parts},
        "skipped": 3,
        "is_damaged": False,
    }


STATES = {each.__name__: each for each in (empty, full, bad)}

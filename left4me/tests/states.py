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
            "demo_piece": {"size": 0},
            "sourcetv": {"has_support": False},
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
            "plugins": {
                "has_sourcemod": True,
                "version": "1.12.0.7210",
                "is_known": True,
                "problem": "",
                "gone": ["old.smx"],
                "errors": [
                    {
                        "name": "heal.smx",
                        "kind": kind,
                        "detail": "L4D_Heal" * 9,
                        "count": 3,
                        "at": "11/30/2026 - 01:02:03",
                    }
                    for kind in ("native", "extension", "plugin", "failed", "exception")
                ],
                "plugins": [
                    {
                        "path": path,
                        "is_enabled": not path.startswith("disabled/"),
                        "title": f"[L4D2] {'Long' * 12}",
                        "version": "1.2.3",
                        "author": "Anna, Bert",
                        "description": "x" * 300,
                        "url": "https://example.com/",
                        "size": 12_000,
                        "needs": ["left4dhooks.smx", "dhooks.ext"],
                        "problem": problem,
                        "overlay": overlay,
                        "missing": missing,
                        "switch": path.removeprefix("disabled/"),
                        "is_switched": bool(status),
                        "present_path": path,
                        "loaded": {"number": 1, "status": status, "error": "x" * 100 if status else ""},
                    }
                    for path, overlay, problem, missing, status in (
                        ("heal.smx", "SourceMod", "", [], ""),
                        (f"{'long' * 12}.smx", "SourceMod", "", ["left4dhooks.smx", "dhooks.ext"], "Failed"),
                        ("disabled/mapchooser.smx", "", "", [], ""),
                        ("bad.smx", "", "is no compiled plugin", [], "Error"),
                    )
                ],
            },
            "plugin_files": [
                {"file": f"{'long' * 12}.cfg", "plugin": "heal.smx", "count": 12, "changed": changed}
                for changed in (0, 2)
            ],
            "plugin_settings": {
                "plugin": "heal.smx",
                "settings": [
                    {
                        "name": "l4d_heal_amount",
                        "value": "50",
                        "description": "How much to heal.\n" + "x" * 200,
                        "default": "50",
                        "minimum": 0.0,
                        "maximum": 100.0,
                        "inherited": None,
                    }
                ],
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

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from left4me import web
from left4me.core.processes import commands
from left4me.testing.whole import REPOSITORY, clean_environment


def _run(script: str, root: Path) -> str:
    own = {"LEFT4ME_ROOT": str(root), "LEFT4ME_BIND": "127.0.0.1:1", "PYTHONWARNINGS": "ignore"}
    own["CELERY_SKIP_CHECKS"] = "true"
    argv = [sys.executable, "-c", script]
    return commands.run(argv, timeout=120, cwd=REPOSITORY, env=clean_environment() | own).output


def test_nothing_that_a_fork_would_share_is_open_when_the_processes_start(tmp_path):
    """No thread, no connection to the database or Redis, no event loop; neither for the web alone nor for all."""
    script = """
import os, threading
from django.db import connection
from left4me import beat, web, worker

def show():
    held = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd") if int(each) > 2]
    places = [os.readlink(each) for each in held if os.path.exists(each)]
    print(threading.active_count(), connection.connection, places)

web.load_application()
show()
worker.load_tasks()
beat.app.finalize()
show()
"""
    assert _run(script, tmp_path).splitlines() == ["1 None []"] * 2


def test_a_fork_of_what_is_loaded_serves_that_and_logs_as_all_others(tmp_path):
    script = """
import logging
from left4me import beat, web

class Server:
    def __init__(self, config):
        self.config = config
    def run(self, sockets):
        ours = logging.getLogger("uvicorn.error")
        print(self.config is loaded, ours.handlers, ours.propagate, logging.getLogger("uvicorn").handlers)

web.Server, web._listen = Server, lambda descriptor: []
loaded = web.load_application()
web.main(None, loaded)
console = logging.getLogger().handlers
beat._log_as_all_others()
print(logging.getLogger().handlers == console)
"""
    assert _run(script, tmp_path).splitlines() == ["True [] True []", "True"]


def test_what_a_single_process_has_loaded_is_left_out_of_collections(settings: Any, monkeypatch: pytest.MonkeyPatch):
    frozen: list[int] = []

    class Recorder:
        def __init__(self, config: object) -> None:
            assert config is loaded

        def run(self, *, sockets: object) -> None:
            frozen.append(gc.get_freeze_count())

    loaded: Any = object()
    young = [[] for _ in range(1000)]
    settings.LEFT4ME_WEB_PROCESSES = 1
    monkeypatch.setattr(web, "Server", Recorder)
    monkeypatch.setattr(web, "_listen", lambda descriptor: [])
    before = gc.get_freeze_count()
    web.main(None, loaded)
    assert frozen[0] >= before + len(young)

"""Packs as operators have them, from the upload to a running simulated game; and packs with programs of the game."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.jobs.operations import Failed
from left4me.testing import packs
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from overlays import actions, builds, contents, paths
from overlays.files import extraction, uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.hosts import installs, this_host
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.tests.factories import install_game, make_blueprint, make_host, make_server

# In this order: the map is loaded by the commands that came before it.
_AT_ONCE = "+sim_map_load_seconds 0\n+map c1m1_hotel"


@pytest.fixture
def host(tmp_path: Path, settings, db) -> Iterator[Path]:
    settings.LEFT4ME_ROOT = tmp_path
    this_host.runtime.cache_clear()
    installs.install(RecordedRun("game"))
    yield tmp_path
    for server_id in Server.objects.values_list("pk", flat=True):
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server_id)
    this_host.runtime.cache_clear()


def _unpack(pack: packs.Pack, cast: Cast) -> Overlay:
    """Upload and unpack a pack as its owner does, by the best plan."""
    overlay = make_overlay(owner=cast.owner, name=pack.name, expose_cfg=True)
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path=pack.name, size=1, unpack=True)
    pack.write(uploads.partial_path(upload))
    upload.size = uploads.partial_path(upload).stat().st_size
    upload.save()
    extraction.read(RecordedRun(overlay.resource, upload=upload.pk), overlay)
    extraction.unpack(RecordedRun(overlay.resource, upload=upload.pk), overlay)
    assert builds.build(RecordedRun(overlay.resource), overlay)
    return overlay


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_pack_is_unpacked_and_starts(host: Path, cast: Cast, monkeypatch):
    monkeypatch.setattr(lifecycle, "_READY_CHECK_SECONDS", 0.05)
    for pack in packs.PACKS:
        overlay = _unpack(pack, cast)
        assert overlay.file_count == pack.count, pack.name
        blueprint = make_blueprint(cast.owner, overlays=[overlay], arguments=_AT_ONCE)
        server = make_server(cast.owner, blueprint=blueprint, host=make_host(last_port=65535), port=_free_port())
        lifecycle.start(server, RecordedRun(server.resource))
        if pack.name == "texts_of_windows.zip":
            # The mark before the first command is gone, and what UTF-16 said is executed.
            command = "exec rules;hostname"
            answer = rcon.execute("127.0.0.1", server.port, server.live_rcon_password, command, timeout=10)
            assert "求生之路" in answer
        lifecycle.kill(server, RecordedRun(server.resource))


@pytest.fixture
def composed(tmp_path: Path, settings, cast: Cast):
    """Compose a start with an overlay that holds these files."""
    settings.LEFT4ME_ROOT = tmp_path
    install_game(tmp_path)
    this_host.runtime.cache_clear()

    def compose(*files: str, links: dict[str, str] | None = None) -> Overlay:
        overlay = make_overlay(owner=cast.owner, name="Mine")
        root = paths.directory(overlay)
        for path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"\x7fELF")
        for path, target in (links or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(target)
        return overlay

    yield compose
    this_host.runtime.cache_clear()


def _start(overlay: Overlay, cast: Cast) -> None:
    """Do what a start does before anything changes."""
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    lifecycle.initialize(server, RecordedRun(server.resource))


@pytest.mark.parametrize(
    ("files", "links", "named"),
    [
        (["srcds_run"], {}, "srcds_run"),
        (["srcds_linux"], {}, "srcds_linux"),
        (["bin/linux/engine_srv.so"], {}, "bin/linux/engine_srv.so"),
        (["left4dead2/bin/server_srv.so"], {}, "left4dead2/bin/server_srv.so"),
        (["left4dead2/addons/a.txt"], {"srcds_run": "left4dead2/addons/a.txt"}, "srcds_run"),
        (["left4dead2/addons/bin/engine_srv.so"], {"bin": "left4dead2/addons/bin"}, "bin"),
    ],
)
def test_no_server_starts_with_programs_that_no_admin_allowed(cast: Cast, composed, files, links, named):
    overlay = composed(*files, links=links)
    with pytest.raises(Failed, match=f"Overlay “Mine” contains programs of the game .*: {named}"):
        _start(overlay, cast)
    overlay.refresh_from_db()
    assert overlay.refused_programs == [named]
    actions.allow_programs(overlay=overlay, by=cast.admin)
    _start(overlay, cast)


def test_a_program_that_changed_after_it_was_allowed_is_refused_again(cast: Cast, composed):
    overlay = composed("srcds_run")
    contents.record_programs(overlay, contents.find_programs(paths.directory(overlay)))
    actions.allow_programs(overlay=overlay, by=cast.admin)
    _start(overlay, cast)
    (paths.directory(overlay) / "srcds_run").write_bytes(b"\x7fELF changed")
    with pytest.raises(Failed, match="no admin has allowed: srcds_run"):
        _start(overlay, cast)


def test_extensions_of_plugins_are_no_programs_of_the_game(cast: Cast, composed):
    extensions = ("sourcemod/extensions/a.ext.so", "metamod/bin/server.so")
    _start(composed(*(f"left4dead2/addons/{path}" for path in extensions)), cast)

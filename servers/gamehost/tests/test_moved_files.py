"""The layer in which files of other layers are at other paths, in directories without a mount."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from left4me.core.files import walk
from servers.gamehost import moved_files
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.sandbox.identity import Identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes marks of deletion")

NOBODY = Identity(uid=0, gid=0, by_root=False)
GAME = Identity(uid=64123, gid=64124, by_root=True)


class Server:
    def __init__(self, root: Path) -> None:
        self.directory = ServerDirectory(root / "servers/1")
        self.directory.prepare()
        self.layers = [root / "overlay", root / "game"]
        for layer in self.layers:
            layer.mkdir()

    def lay(self, moved: dict[str, str], who: Identity = NOBODY) -> Path | None:
        return moved_files.lay(self.directory, moved, [str(layer) for layer in self.layers], who=who)

    def write(self, layer: Path, name: str, text: str) -> Path:
        (layer / name).parent.mkdir(parents=True, exist_ok=True)
        (layer / name).write_text(text)
        return layer / name


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def is_mark(path: Path) -> bool:
    return walk.is_deletion_mark(path.lstat())


def test_the_file_of_the_topmost_layer_is_at_its_new_path_and_hidden_at_the_old(server: Server):
    source = server.write(server.layers[0], "plugins/a.smx", "overlay")
    os.utime(source, ns=(1, 1_234_567_890))
    server.write(server.layers[1], "plugins/a.smx", "game")
    server.write(server.layers[1], "b.smx", "game")
    place = server.lay({"plugins/a.smx": "plugins/off/a.smx", "b.smx": "off.smx", "missing": "nowhere"})
    assert place == server.directory.moved
    assert (place / "plugins/off/a.smx").read_text() == "overlay"
    assert (place / "plugins/off/a.smx").stat().st_mtime_ns == 1_234_567_890
    assert (place / "off.smx").read_text() == "game"
    assert is_mark(place / "plugins/a.smx") and is_mark(place / "b.smx")
    assert not (place / "nowhere").exists()
    assert {path.stat().st_mode & 0o777 for path in (place, place / "plugins")} == {0o755}
    assert source.read_text() == "overlay"


def test_the_layer_is_made_anew_and_goes_when_nothing_moves(server: Server):
    server.write(server.layers[0], "a", "one")
    server.lay({"a": "b"})
    server.write(server.layers[0], "a", "two")
    place = server.lay({"a": "c"})
    assert place is not None and {path.name for path in place.iterdir()} == {"a", "c"}
    assert server.lay({}) is None
    assert not server.directory.moved.exists()


def test_two_files_may_exchange_their_places(server: Server):
    server.write(server.layers[0], "a", "of a")
    server.write(server.layers[0], "b", "of b")
    place = server.lay({"a": "b", "b": "a"})
    assert place is not None
    assert ((place / "a").read_text(), (place / "b").read_text()) == ("of b", "of a")


@pytest.mark.parametrize("size", [10, 11])
def test_a_file_that_is_too_large_stays_where_it_is(server: Server, monkeypatch: pytest.MonkeyPatch, size: int):
    assert moved_files.LARGEST == 64 * 1024**2
    monkeypatch.setattr(moved_files, "LARGEST", 10)
    server.write(server.layers[0], "a", "x" * size)
    place = server.lay({"a": "b"})
    assert place is not None
    assert {path.name for path in place.iterdir()} == (set() if size > 10 else {"a", "b"})


def test_what_is_no_file_in_a_layer_lets_the_next_one_show(server: Server):
    (server.layers[0] / "a").mkdir()
    server.write(server.layers[0], "folder", "a file")
    server.write(server.layers[1], "a", "game")
    server.write(server.layers[1], "folder/b", "game")
    place = server.lay({"a": "c", "folder/b": "d"})
    assert place is not None
    assert ((place / "c").read_text(), (place / "d").read_text()) == ("game", "game")


@pytest.mark.parametrize("who", [NOBODY, GAME])
def test_what_the_server_has_of_its_own_moves_in_its_own_layer(server: Server, who: Identity):
    upper = server.directory.upper
    own = server.write(upper, "plugins/a.smx", "own")
    os.chown(own, 64123, 64124)
    server.lay({"plugins/a.smx": "off/deep/b.smx", "plugins/missing": "off/x"}, who)
    assert (upper / "off/deep/b.smx").read_text() == "own" and not own.exists()
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (upper / "off", upper / "off/deep")}
    assert owners == ({(64123, 64124)} if who.by_root else {(0, 0)})
    assert (upper / "off").stat().st_mode & 0o777 == 0o755


def test_a_folder_or_a_link_of_the_server_stays(server: Server, tmp_path: Path):
    upper = server.directory.upper
    (upper / "folder").mkdir()
    (upper / "link").symlink_to(tmp_path)
    server.lay({"folder": "b", "link": "c", "link/x": "d"})
    assert {path.name for path in upper.iterdir()} == {"folder", "link"}

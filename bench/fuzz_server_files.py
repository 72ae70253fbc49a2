"""What the fuzzer does with files that games, plugins and other hosts write, and that describe servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from left4me.core import floods
from left4me.core.files.tree import Tree
from livestate.matches import gamelog, scores
from livestate.rotation import entries, events, votes
from overlays import match_modes
from servers.copies import store
from servers.gamehost import parcels
from servers.gamehost.sandbox.identity import Identity
from servers.hosts import floods as dropped
from servers.identity import cvars
from servers.identity import lines as identity

_SCRATCH = Path(tempfile.mkdtemp(prefix="left4me-fuzz-"))
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ME = Identity(uid=os.getuid(), gid=os.getgid(), by_root=False)


def read_match_modes(data: bytes) -> None:
    """A pack: the list of its modes, a NUL, and the cfg of one mode, which may execute itself."""
    names, _, config = data.partition(b"\0")
    root = _SCRATCH / "pack"
    files = {match_modes._NAMES: names, (*match_modes._FOLDER, "arena", match_modes._STARTS): config}
    files[(*match_modes._CFG, "a.cfg")] = config
    for where, content in files.items():
        path = root.joinpath(*where)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with Tree(root) as tree:
        modes = match_modes._find(["/".join(where) for where in files], tree)
        found = match_modes._names(tree)
    assert [mode.code for mode in modes] == ["arena"]
    assert all(1 <= mode.team_size <= 16 and mode.config.isprintable() and len(mode.config) <= 200 for mode in modes)
    assert all(match_modes.CODE.fullmatch(code) for code in found)
    assert all(text.isprintable() for pair in found.values() for text in pair)


def read_scores(data: bytes) -> None:
    """A file of l4d2_playstats."""
    played = scores.parse(data.decode("utf-8", "replace"))
    if played is None:
        return
    assert all(-(2**31) <= points < 2**31 for points in _points(played))
    assert all(account.isdigit() for account in [*played["team_a"], *played["team_b"]])
    assert len(played["map"]) <= scores._LONGEST and len(played["config"]) <= scores._LONGEST


def _points(played: scores.Round) -> tuple[int, ...]:
    return played["a"], played["b"], played["total_a"], played["total_b"]


def read_game_log(data: bytes) -> None:
    for event in gamelog.read(data.decode("utf-8", "replace").splitlines()):
        assert 0 < event.steam_id_64 < 2**63 and event.side in ("", *gamelog.SIDES)


def read_rotation(data: bytes) -> None:
    """The file in which the script of the rotation writes votes and the ends of campaigns, and codes of entries."""
    found = [events.parse(line, server_id=1, at=_NOW) for line in data.decode(errors="replace").splitlines()]
    known = [event for event in found if event is not None]
    for event in known:
        assert len(event.key) <= 20 and len(event.map) <= events.LONGEST_MAP and len(event.mode) <= 32
        assert all(len(field) <= 120 and "\0" not in field for field in event.details)
    folded = votes.fold(known, {}, now=_NOW)
    assert len(folded) <= len(known) and all(vote.title is not None and vote.label for vote in folded)
    assert entries.Entry.parse(data.decode(errors="replace"), {}) is None


def edit_identity(data: bytes) -> None:
    """The first line is a new value, the rest a server.cfg: what is set is read again, and nothing else changes."""
    value, _, text = data.decode("utf-8", "replace").partition("\n")
    name = next(iter(cvars.BY_NAME))
    before = identity.values(text)
    removed = identity.edit(text, {name: None})
    after = identity.values(removed)
    assert name not in after and {**after, name: ""} == {**before, name: ""}
    assert identity.edit(removed, {name: None}) == removed
    # As `cvars.problem` and `cvars.normal` let them through; without a value the line is removed.
    if value and value == value.strip() and not cvars.problem(name, value):
        changed = identity.edit(text, {name: value})
        assert identity.values(changed) == {**before, name: value}, (text, value, changed)


def read_counters(data: bytes) -> None:
    """What root writes of the counters of the firewall."""
    file = _SCRATCH / "counters"
    file.write_bytes(data)
    counters, written_at = floods.read(file)
    assert all(isinstance(packets, int) for packets in counters.values()) and written_at >= 0
    dropped.observe(None, now=written_at, file=file)


def read_piece_list(data: bytes) -> None:
    """The list of the pieces of a copy: its form is one of `as_list`."""
    try:
        pieces = store.parse(data)
    except ValueError:
        return
    assert store.parse(store.as_list(pieces)) == pieces


def unpack_parcel(data: bytes) -> None:
    """The stream by which the files of a server arrive from another host, in pieces of the size of its first byte."""
    size = data[0] + 1 if data else 1
    place = _SCRATCH / "parcel"
    trees = {name: place / name for name in ("notes", "upper")}
    for folder in trees.values():
        folder.mkdir(parents=True)

    def pieces() -> Iterator[bytes]:
        yield from (data[start : start + size] for start in range(1, len(data), size))

    try:
        # The disk may refuse a file of the size that it is told.
        with contextlib.suppress(parcels.Malformed, OSError):
            unpacked = parcels.unpack(pieces(), trees, owners={"upper": _ME}, check=lambda: None)
            assert 0 <= unpacked.files <= unpacked.entries
        assert {path.name for path in place.iterdir()} == set(trees)
        for folder, _folders, names in os.walk(place):
            for each in (Path(folder) / name for name in names):
                assert not each.is_symlink() or _is_within(each, place)
                assert each.is_symlink() or not each.stat().st_mode & 0o6000
    finally:
        shutil.rmtree(place)


def _is_within(link: Path, place: Path) -> bool:
    return Path(os.path.normpath(link.parent / link.readlink())).is_relative_to(place)


TARGETS = {
    "counters": read_counters,
    "game-logs": read_game_log,
    "identity": edit_identity,
    "match-modes": read_match_modes,
    "parcels": unpack_parcel,
    "piece-lists": read_piece_list,
    "rotation": read_rotation,
    "scores": read_scores,
}

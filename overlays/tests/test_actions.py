"""Creating, changing and deleting overlays, their directories, and what their operations lock and remove."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError

from left4me.audit.models import AuditEntry
from left4me.core import rows
from left4me.jobs import operations as registry
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing.folders import listed
from left4me.testing.recorded_run import RecordedRun
from overlays import actions, builds, conflicts, links, operations, paths
from overlays.models import Overlay, OverlayAddon, OverlayContents, OverlayCopy
from overlays.replication import server, store
from overlays.replication.store import Copies
from overlays.tests.factories import make_overlay
from workshop import inspection

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "left4me_root")]


def create(cast, **fields) -> Overlay:
    usual = {"name": "Maps", "kind": "files", "owner": cast.owner, "by": cast.owner}
    return actions.create(**(usual | fields))


# --- rows --------------------------------------------------------------------------------------------------------


def test_a_new_overlay_has_its_own_directory_and_an_entry_in_the_audit_log(cast):
    overlay = create(cast, expose_cfg=True)
    assert (overlay.path, overlay.owner, overlay.expose_cfg) == (str(overlay.pk), cast.owner, True)
    assert not create(cast, name="Other").expose_cfg
    entry = AuditEntry.objects.filter(action="overlay.create").order_by("pk").first()
    assert (entry.target, entry.details["name"], entry.details["kind"]) == (overlay.resource, "Maps", "files")


def test_a_user_has_so_many_overlays_and_an_admin_more(cast, monkeypatch):
    assert actions.MOST_OVERLAYS == 500
    monkeypatch.setattr(actions, "MOST_OVERLAYS", 2)
    for number in range(2):
        create(cast, name=f"{number}")
        create(cast, name=f"{number}", owner=cast.admin)
        create(cast, name=f"{number}", owner=None)
    with pytest.raises(ValidationError, match="A user can have 2 overlays"):
        create(cast)
    create(cast, owner=cast.admin)
    create(cast, owner=None)


def test_an_admin_types_a_directory_that_no_other_overlay_uses(cast):
    assert create(cast, path="maps/own").path == "maps/own"
    for path in ("maps/own", "maps", "maps/own/deep"):
        with pytest.raises(ValidationError, match="uses this directory"):
            create(cast, name="Other", path=path)
    assert create(cast, name="Other", path="maps/owner").path == "maps/owner"
    with pytest.raises(ValidationError, match="below the overlay root"):
        create(cast, name="Third", path="../x")


def test_a_directory_that_is_already_used_is_not_given_to_a_new_overlay(cast):
    overlay = create(cast)
    make_overlay(path=str(overlay.pk + 2))
    with pytest.raises(ValidationError, match="uses this directory"):
        create(cast, name="Other")


def test_a_change_is_made_to_the_version_that_was_seen(cast):
    overlay = create(cast)
    changed = actions.update(overlay=overlay, seen_version=1, by=cast.owner, name="New", path="else", expose_cfg=True)
    assert (changed.name, changed.path, changed.expose_cfg, changed.version) == ("New", "else", True, 2)
    with pytest.raises(actions.Stale, match="Someone else edited") as stale:
        actions.update(overlay=overlay, seen_version=1, by=cast.owner, name="Newer")
    assert stale.value.current.name == "New"
    # The same directory is no change, and overlaps with nothing.
    assert actions.update(overlay=overlay, seen_version=2, by=cast.owner, path="else").version == 3
    assert AuditEntry.objects.filter(action="overlay.update").count() == 2
    other = create(cast, name="Other")
    with pytest.raises(ValidationError, match="uses this directory"):
        actions.update(overlay=other, seen_version=1, by=cast.owner, path="else/deep")
    Overlay.objects.filter(pk=other.pk).delete()
    with pytest.raises(rows.Gone):
        actions.update(overlay=other, seen_version=1, by=cast.owner, name="x")


def test_deleting_removes_the_files_where_left4me_made_them(cast):
    own, typed = create(cast), create(cast, name="Typed", path="typed")
    for overlay in (own, typed):
        OverlayCopy.objects.create(overlay=overlay, host="two", content_version=1, made_at=overlay.created_at)
    pks = own.pk, typed.pk
    for overlay in (own, typed):
        actions.delete(overlay=overlay, by=cast.owner)
    assert set(Job.objects.values_list("operation", "resource", "host")) == {
        ("remove_overlay", f"overlay:{pks[0]}", "local"),
        ("remove_overlay", f"overlay:{pks[0]}", "two"),
        ("remove_overlay", f"overlay:{pks[1]}", "two"),
    }
    assert not Overlay.objects.exists()
    with pytest.raises(rows.Gone):
        actions.delete(overlay=Overlay(pk=pks[0]), by=cast.owner)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([("A", "anna")], "One blueprint uses this overlay: A (anna)."),
        ([("A", "anna"), ("B", "otto")], "2 blueprints use this overlay: A (anna), B (otto)."),
    ],
)
def test_an_overlay_that_is_used_names_its_blueprints(names, text):
    fault = actions.InUse(names)
    assert (str(fault), fault.blueprints) == (text, names)


def test_a_link_for_players_is_an_address_or_none(cast):
    addon = OverlayAddon.objects.create(overlay=create(cast), path="a.vpk")
    assert actions.set_link(addon=addon, link=" https://x.org/a ", by=cast.owner).link == "https://x.org/a"
    with pytest.raises(ValidationError, match="Enter a web address"):
        actions.set_link(addon=addon, link="x.org", by=cast.owner)
    addon.refresh_from_db()
    assert addon.link == "https://x.org/a"
    assert actions.set_link(addon=addon, link=" ", by=cast.owner).link == ""
    assert AuditEntry.objects.filter(action="overlay.link_changed").count() == 2


def test_an_admin_allows_the_programs_there_are_now(cast):
    overlay = make_overlay(programs={"b": "1", "a": "2"})
    assert actions.allow_programs(overlay=overlay, by=cast.admin).refused_programs == []
    assert AuditEntry.objects.get().details["programs"] == ["a", "b"]


# --- directories -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/a", "a/../b", "..", "a\0", "a\\b", "out/x", "out"])
def test_a_path_that_leads_out_of_the_root_is_refused(left4me_root: Path, path: str):
    paths.root().mkdir()
    (paths.root() / "out").symlink_to("/")
    with pytest.raises(ValidationError) as refused:
        paths.clean_path(path)
    assert refused.value.code == "outside"


@pytest.mark.parametrize("path", ["", ".", " ./ ", "self", "./self"])
def test_the_root_itself_is_no_overlay(left4me_root: Path, path: str):
    paths.root().mkdir()
    (paths.root() / "self").symlink_to(".")
    with pytest.raises(ValidationError) as refused:
        paths.clean_path(path)
    assert refused.value.code == "root"


def test_a_path_is_made_plain(left4me_root: Path):
    paths.root().mkdir()
    (paths.root() / "in").symlink_to("a")
    assert [paths.clean_path(path) for path in (" a/./b/ ", "in/x", "a..b")] == ["a/b", "in/x", "a..b"]
    assert paths.clean_path("x", overlays=left4me_root / "other") == "x"


def test_the_cfg_of_an_overlay_is_read_to_a_limit_and_never_through_a_link(tmp_path: Path):
    assert paths.read_cfg(tmp_path) is None
    cfg = tmp_path / "left4dead2" / "cfg" / "server.cfg"
    cfg.parent.mkdir(parents=True)
    cfg.write_bytes(b"\xef\xbb\xbfsv_x 1")
    assert paths.read_cfg(tmp_path) == "sv_x 1"
    cfg.write_bytes(b"x" * (256 * 1024 + 1))
    assert len(paths.read_cfg(tmp_path)) == 256 * 1024
    cfg.unlink()
    cfg.symlink_to("/etc/hostname")
    assert paths.read_cfg(tmp_path) is None


def test_links_to_the_cache_are_made_replaced_and_removed_and_nothing_else_is_touched(tmp_path: Path, monkeypatch):
    # A build makes thousands of links, and must not wait for the disk at each.
    monkeypatch.setattr(os, "fsync", None)
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    addons = tree / "left4dead2" / "addons"
    targets = {f"{n}.vpk": str(cache / f"{n}.vpk") for n in (1, 2, 3, 4)}
    assert links.reconcile(tree, targets={}, cache=cache) == links.Counts()
    addons.mkdir(parents=True, exist_ok=True)
    for name, target in (
        ("1.vpk", cache / "1.vpk"),
        ("2.vpk", tmp_path / "old" / "cache" / "2.vpk"),
        ("9.vpk", cache / "9.vpk"),
        ("own.vpk", cache / "1.vpk"),
        ("8.vpk", tmp_path / "elsewhere" / "8.vpk"),
        ("4.vpk", tmp_path / "elsewhere" / "4.vpk"),
    ):
        (addons / name).symlink_to(target)
    (addons / "7.vpk").write_text("plain")
    assert links.reconcile(tree, targets=targets, cache=cache) == links.Counts(created=1, removed=1, unchanged=1)
    assert listed(addons) == ["1.vpk", "2.vpk", "3.vpk", "4.vpk", "7.vpk", "8.vpk", "own.vpk"]
    assert [(addons / f"{n}.vpk").readlink() for n in (2, 3)] == [cache / "2.vpk", cache / "3.vpk"]
    assert (addons / "4.vpk").readlink() == tmp_path / "elsewhere" / "4.vpk"


# --- operations --------------------------------------------------------------------------------------------------


def test_reading_locks_nothing_and_unpacking_the_overlay_and_its_owners_quota(cast):
    own, shared = create(cast), make_overlay()

    def held(locks, overlay, host="local"):
        job = SimpleNamespace(resource=overlay.resource, host=host)
        return [(lock.resource, lock.exclusive) for lock in locks(job)]

    assert held(operations._no_locks, own) == []
    assert held(operations._overlay_and_quota, own) == [(own.resource, True), (f"quota:{cast.owner.pk}", True)]
    assert held(operations._overlay_and_quota, shared) == [(shared.resource, True)]
    assert held(operations._locks, own) == [(own.resource, True)]
    assert held(operations._locks, own, host="two") == [(f"overlay-{own.pk}", True)]


@pytest.mark.parametrize(
    "name",
    [
        "build",
        "read_archive",
        "fetch_archive",
        "unpack",
        "inspect",
        "workshop_refresh",
        "workshop_tidy",
        "remove_overlay",
    ],
)
def test_every_operation_runs_again_when_its_worker_died(name):
    operation = registry.get(name)
    assert operation.idempotent
    # What was deleted cannot be kept, and one refresh is enough for all who want one.
    assert (operation.cancellable, operation.final) == ((False, True) if name == "remove_overlay" else (True, False))
    assert operation.coalesces_active is (name == "workshop_refresh")


def test_an_operation_on_an_overlay_that_is_gone_says_so():
    for body in (operations.build, operations.read_archive, operations.inspect, operations.unpack):
        with pytest.raises(Failed, match="no longer exists"):
            body(RecordedRun("overlay:77"))


def test_a_build_says_whether_anything_changed(cast, monkeypatch):
    run = RecordedRun(create(cast).resource)
    for changed in (True, False):
        monkeypatch.setattr(builds, "build", lambda _run, _overlay, changed=changed: changed)
        operations.build(run)
    assert run.lines == ["The overlay has new content.", "Nothing changed."]


def test_an_unpacking_that_fails_is_built_all_the_same(cast, monkeypatch):
    built, overlay = [], create(cast)
    monkeypatch.setattr(builds, "build", lambda _run, of: built.append(of))
    with pytest.raises(Failed, match="no longer exists"):
        operations.unpack(RecordedRun(overlay.resource, upload=0))
    assert built == [overlay]


def test_the_files_of_an_overlay_that_is_gone_are_removed(left4me_root: Path):
    outside = left4me_root / "outside"
    outside.mkdir()
    paths.root().mkdir()
    (paths.root() / "77").symlink_to(outside)
    server.hashes_file(77).parent.mkdir()
    server.hashes_file(77).touch()
    run = RecordedRun("overlay:77")
    operations.remove_overlay(run)
    assert (listed(paths.root()), outside.exists(), run.lines) == ([".trash"], True, ["removed 77"])
    assert not server.hashes_file(77).exists()


def test_on_another_host_the_copies_are_removed_unless_a_server_uses_one(settings, monkeypatch):
    settings.LEFT4ME_WEB_URL = "https://web"
    copies = Copies(77)
    monkeypatch.setattr(store, "_mounts", [])
    tree = copies.tree(copies.publish(store.Manifest(1, ())))
    monkeypatch.setattr(store, "_mounts", [lambda: {tree}])
    run = RecordedRun("overlay:77")
    operations.remove_overlay(run)
    monkeypatch.setattr(store, "_mounts", [])
    operations.remove_overlay(run)
    assert run.lines == [
        "A running server still uses a copy. The daily cleanup removes it after that server has stopped.",
        "removed the copies of overlay 77",
    ]
    assert not copies.path.exists()


# --- conflicts ---------------------------------------------------------------------------------------------------


def with_paths(name: str, names: list[str], game: tuple[str, ...] = ()) -> Overlay:
    overlay = make_overlay(name=name)
    packed, of_game = inspection.pack_paths(names), inspection.pack_paths(game)
    OverlayContents.objects.create(overlay=overlay, packed_paths=packed, packed_game_paths=of_game)
    return overlay


@pytest.mark.parametrize(("count", "is_cut"), [(500, False), (501, True)])
def test_so_many_conflicts_are_shown(count, is_cut):
    names = [f"a{number:03}" for number in range(count)]
    found = conflicts.between([with_paths("top", names), with_paths("low", names)])
    assert [(group.winner, group.losers, len(group.paths)) for group in found.groups] == [("top", ("low",), 500)]
    assert found.is_cut is is_cut
    found = conflicts.between([with_paths("one", names), with_paths("two", [name.upper() for name in names])])
    assert (found.groups, len(found.letter_case), found.is_cut) == ([], 500, is_cut)
    assert bool(found)


def test_what_is_over_the_limit_in_one_group_leaves_no_room_for_the_next():
    first = [f"a{number:03}" for number in range(499)]
    top, low = with_paths("top", [*first, "x", "y"]), with_paths("low", first)
    lowest = with_paths("lowest", ["x", "y"])
    found = conflicts.between([top, low, lowest])
    assert [len(group.paths) for group in found.groups] == [499, 1]
    assert found.is_cut
    assert not conflicts.between([low, lowest, make_overlay()])


def test_the_game_is_the_lowest_of_all_layers():
    found = conflicts.between([with_paths("a", ["x", "y"], game=("x", "Y")), with_paths("b", ["x"])])
    assert [(group.winner, group.losers, group.paths) for group in found.groups] == [("a", ("b", "the game"), ["x"])]
    assert found.letter_case == [[("a", "y"), ("the game", "Y")]]
    assert not conflicts.Conflicts([])

"""Files that several layers of a stack bring: files overlays, VPKs in them, workshop items, scripts, the game."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse

from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from overlays import builds, conflicts
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop import inspection
from workshop.models import WorkshopContents, WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server", "left4me_root")]


@pytest.fixture
def built(cast, tmp_path):
    """A files overlay of the owner with these files (paths, or VPKs as {path in the VPK}), after its build."""

    def built(name, *files, **vpks):
        overlay = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner, name=name)
        root = settings.LEFT4ME_ROOT / "overlays" / overlay.path
        for path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("x")
        for stem, paths in vpks.items():
            target = root / f"left4dead2/addons/{stem}.vpk"
            target.parent.mkdir(parents=True, exist_ok=True)
            vpk_files.write(target, dict.fromkeys(paths, b"x"))
        builds.request(overlay=overlay, by=cast.owner)
        [job] = drain(host=settings.LEFT4ME_HOST)
        assert job.state == "succeeded", job.error
        return overlay

    return built


def item(cast, *paths):
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="workshop")
    row = WorkshopItem.objects.create(title="Walls", steam_id=77)
    WorkshopContents.objects.create(item=row, packed_paths=inspection.pack_paths(paths))
    OverlayWorkshopItem.objects.create(overlay=overlay, item=row, linked_version=1)
    return overlay


def groups(*overlays):
    return [(group.winner, group.losers, group.paths) for group in conflicts.between(overlays).groups]


def test_of_two_overlays_the_higher_wins_and_both_over_the_game(built):
    game = settings.LEFT4ME_ROOT / "game/current/left4dead2/cfg"
    game.mkdir(parents=True)
    (game / "valve.rc").write_text("x")
    top = built("top", "left4dead2/cfg/server.cfg", "left4dead2/cfg/valve.rc")
    low = built("low", "left4dead2/cfg/server.cfg", "left4dead2/cfg/own.cfg")
    assert groups(top, low) == [
        ("top", ("low",), ["left4dead2/cfg/server.cfg"]),
        ("top", ("the game",), ["left4dead2/cfg/valve.rc"]),
    ]
    assert groups(low, top)[0] == ("low", ("top",), ["left4dead2/cfg/server.cfg"])


def test_a_vpk_in_files_and_a_workshop_item_are_compared_inside(cast, built):
    files = built("maps", walls={"maps/wall_1.bsp", "maps/own.bsp", "addoninfo.txt"})
    assert groups(files, item(cast, "maps/wall_1.bsp")) == [
        ("maps: walls.vpk", ("Walls (77)",), ["maps/wall_1.bsp"]),
    ]


def test_a_file_in_a_vpk_wins_over_a_loose_one(cast, built):
    loose = built("loose", "left4dead2/scripts/a.nut")
    assert groups(loose, item(cast, "scripts/a.nut")) == [("Walls (77)", ("loose",), ["scripts/a.nut"])]


def test_names_that_differ_in_letter_case_are_no_replacement_but_named(built):
    game = settings.LEFT4ME_ROOT / "game/current/left4dead2/cfg"
    game.mkdir(parents=True)
    (game / "valve.rc").write_text("x")
    found = conflicts.between([built("a", "left4dead2/CFG/Valve.rc"), built("b", "left4dead2/cfg/valve.RC")])
    assert found.groups == []
    assert found.letter_case == [
        [("a", "left4dead2/CFG/Valve.rc"), ("b", "left4dead2/cfg/valve.RC"), ("the game", "left4dead2/cfg/valve.rc")]
    ]


def test_a_vpk_that_a_higher_layer_replaces_is_not_compared_inside(built):
    top, low = built("top", pack={"maps/a.bsp"}), built("low", pack={"maps/a.bsp"})
    assert groups(top, low) == [("top", ("low",), ["left4dead2/addons/pack.vpk"])]


def test_twenty_thousand_files_are_compared_without_reading_any(built, monkeypatch, django_assert_max_num_queries):
    overlays = [built("a"), built("b")]
    for overlay in overlays:
        paths = [f"left4dead2/materials/folder_{number % 100}/file_{number}.vtf" for number in range(20_000)]
        overlay.contents.packed_paths = inspection.pack_paths(paths)
        overlay.contents.save()
    monkeypatch.setattr("os.scandir", None)
    with django_assert_max_num_queries(8):
        found = conflicts.between(overlays)
    assert (len(found.groups[0].paths), found.is_cut) == (conflicts.LIMIT, True)


def test_the_panel_shows_them(client, cast, built):
    overlays = [built("top", "left4dead2/cfg/a.cfg"), built("low", "left4dead2/cfg/a.cfg")]
    client.force_login(cast.owner)
    query = "&".join(f"overlay={overlay.pk}" for overlay in overlays)
    text = client.get(f"{reverse('overlays:conflicts')}?panel=1&{query}").content.decode()
    assert "left4dead2/cfg/a.cfg" in text
    assert "<html" not in text

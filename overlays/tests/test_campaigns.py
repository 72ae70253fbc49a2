"""Campaigns of every kind of overlay: found by builds, kept in rows, listed on pages and by the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from overlays import builds, tasks
from overlays.campaigns import sources
from overlays.models import Overlay, OverlayAddon, OverlayScript, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]

ADDONS = "left4dead2/addons"


def mission(name: str, *maps: str, title: str = "", more: str = "") -> bytes:
    chapters = "\n".join(f'"{n}" {{ "Map" "{m}" "DisplayName" "Part {n}" }}' for n, m in enumerate(maps, 1))
    display = f'"DisplayTitle" "{title}"' if title else ""
    return f'"mission"\n{{ "Name" "{name}" {display} {more}\n"modes" {{ "coop" {{ {chapters} }} }} }}'.encode()


def campaign(name: str, *maps: str, **more: str) -> dict[str, bytes]:
    return {f"missions/{name}.txt": mission(name, *maps, **more), **{f"maps/{m}.bsp": b"VBSP" for m in maps}}


@pytest.fixture
def overlay(cast, left4me_root) -> Overlay:
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def tree(overlay) -> Path:
    folder = settings.LEFT4ME_ROOT / "overlays" / overlay.path
    (folder / ADDONS).mkdir(parents=True)
    return folder


def build(overlay: Overlay) -> Job:
    builds.request(overlay=overlay, by=None)
    drain(host=settings.LEFT4ME_HOST)
    return Job.objects.latest("pk")


def titles(overlay: Overlay) -> list[str]:
    return [c["title"] for addon in overlay.addons.all() for c in addon.campaigns]


def test_a_vpk_in_a_files_overlay_is_a_campaign_with_its_maps(overlay, tree):
    vpk_files.write(tree / ADDONS / "city.vpk", campaign("City17", "city_1", "city_2", title="City 17"))
    assert build(overlay).state == "succeeded"
    [addon] = overlay.addons.all()
    assert (addon.path, addon.is_valid, [c["title"] for c in addon.campaigns]) == (
        f"{ADDONS}/city.vpk",
        True,
        ["City 17"],
    )
    assert [(c["map"], c["title"], c["campaign"]) for c in addon.chapters] == [
        ("city_1", "Part 1", "City 17"),
        ("city_2", "Part 2", "City 17"),
    ]


def test_rows_follow_renamed_replaced_and_deleted_files_and_a_rename_keeps_the_link(overlay, tree, cast):
    city = tree / ADDONS / "city.vpk"
    vpk_files.write(city, campaign("City17", "city_1"))
    vpk_files.write(tree / ADDONS / "dam.vpk", campaign("Dam", "dam_1"))
    build(overlay)
    overlay.addons.filter(path__endswith="city.vpk").update(link="https://example.org/city")
    city.rename(tree / ADDONS / "renamed.vpk")
    (tree / ADDONS / "dam.vpk").unlink()
    build(overlay)
    [addon] = overlay.addons.all()
    assert (addon.path, addon.link) == (f"{ADDONS}/renamed.vpk", "https://example.org/city")
    assert titles(overlay) == ["City17"]
    vpk_files.write(tree / ADDONS / "renamed.vpk", campaign("City18", "city_1", "city_2"))
    build(overlay)
    [addon] = overlay.addons.all()
    assert (titles(overlay), addon.link) == (["City18"], "https://example.org/city")


def test_an_unchanged_vpk_is_not_read_again(overlay, tree, monkeypatch):
    vpk_files.write(tree / ADDONS / "city.vpk", campaign("City17", "city_1"))
    build(overlay)
    monkeypatch.setattr("workshop.inspection.inspect_stream", None)
    assert build(overlay).state == "succeeded"
    assert titles(overlay) == ["City17"]


def test_a_mission_in_loose_files_is_a_campaign_and_maps_without_one_are_listed(overlay, tree):
    for folder, name, content in (
        (
            "missions",
            "walls.txt",
            mission("Walls", "wall_1", "wall_2", title="#walls_title").decode().encode("utf-16"),
        ),
        ("maps", "wall_1.bsp", b"VBSP"),
        ("maps", "lonely.bsp", b"VBSP"),
        ("resource", "walls_english.txt", '"lang" { "Tokens" { "walls_title" "The Walls" } }'.encode("utf-16")),
        ("missions", "readme.txt", b"no mission"),
    ):
        (tree / "left4dead2" / folder).mkdir(exist_ok=True)
        (tree / "left4dead2" / folder / name).write_bytes(content)
    build(overlay)
    found = {addon.path: addon for addon in overlay.addons.all()}
    assert list(found) == ["left4dead2/maps", "left4dead2/missions/walls.txt"]
    assert found["left4dead2/missions/walls.txt"].campaigns[0]["title"] == "The Walls"
    assert [c["map"] for c in found["left4dead2/maps"].chapters] == ["lonely"]


def test_a_vpk_of_several_files_is_understood_and_a_missing_part_named(overlay, tree):
    addons = tree / ADDONS
    vpk_files.write(addons / "big_dir.vpk", campaign("Big", "big_1"), part=addons / "big_000.vpk")
    assert build(overlay).state == "succeeded"
    [addon] = overlay.addons.all()
    assert (titles(overlay), next(w["code"] for w in addon.warnings)) == (["Big"], "several_files")
    (addons / "big_000.vpk").rename(tree / "big_000.vpk")
    job = build(overlay)
    assert job.state == "failed"
    assert f"{ADDONS}/big_dir.vpk its content is in a missing part (_000.vpk)" in job.error
    assert "big_000.vpk is part of big_dir.vpk, which is missing" in job.error


def test_a_vpk_beside_the_addons_is_named_and_its_campaign_not_offered(overlay, tree):
    vpk_files.write(tree / "left4dead2" / "city.vpk", campaign("City17", "city_1"))
    build(overlay)
    [addon] = overlay.addons.all()
    assert (addon.chapters, [w["code"] for w in addon.warnings]) == ([], ["not_loaded"])
    (tree / "left4dead2" / "city.vpk").rename(tree / ADDONS / "city.vpk")
    build(overlay)
    assert titles(overlay) == ["City17"]


@pytest.mark.archives
def test_a_script_overlay_has_its_campaigns_and_refuses_a_broken_vpk(left4me_root, tmp_path):
    overlay = make_overlay(kind=Overlay.Kind.SCRIPT)
    vpk_files.write(tmp_path / "a.vpk", campaign("City17", "city_1"))
    text = f"mkdir -p {ADDONS}\nprintf '%b' '{_escaped((tmp_path / 'a.vpk').read_bytes())}' > {ADDONS}/a.vpk"
    OverlayScript.objects.create(overlay=overlay, text=text)
    assert build(overlay).error == ""
    assert titles(overlay) == ["City17"]
    OverlayScript.objects.update(text=f"mkdir -p {ADDONS}\necho nothing > {ADDONS}/a.vpk")
    job = build(overlay)
    assert (job.state, titles(overlay)) == ("failed", ["City17"])
    assert "a.vpk is an unknown kind of file, not a VPK" in job.error


def _escaped(content: bytes) -> str:
    return "".join(f"\\0{byte:03o}" for byte in content)


def test_an_overlay_built_before_is_inspected_once_without_a_build(overlay, tree):
    vpk_files.write(tree / ADDONS / "city.vpk", campaign("City17", "city_1"))
    build(overlay)
    OverlayAddon.objects.all().delete()
    Overlay.objects.update(is_inspected=False)
    Job.objects.all().delete()
    tasks.inspect_old()
    tasks.inspect_old()
    drain(host=settings.LEFT4ME_HOST)
    tasks.inspect_old()
    assert list(Job.objects.values_list("operation", "state")) == [("inspect", "succeeded")]
    assert titles(overlay) == ["City17"]


def test_files_and_workshop_items_stand_in_one_list_on_the_page_and_in_the_api(client, cast, overlay, tree):
    more = '"Website" "https://author.example/city"'
    vpk_files.write(tree / ADDONS / "city.vpk", campaign("City17", "city_1", title="City <17>", more=more))
    build(overlay)
    item = WorkshopItem.objects.create(
        steam_id=7, title="Item", is_valid=True, chapters=[{"map": "i_1", "title": "One", "campaign": "Item"}]
    )
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=1)
    assert [source.title for source in sources.of_overlay(overlay)] == ["City <17>", "Item"]
    client.force_login(cast.owner)
    page = client.get(overlay.get_absolute_url()).content.decode()
    assert "City &lt;17&gt;" in page
    assert "https://author.example/city" in page
    url = f"/api/v1/overlays/{overlay.pk}/campaigns"
    file, other = client.get(url).json()
    assert (file["link"], file["campaigns"][0]["modes"]["coop"][0]["map"]) == ("https://author.example/city", "city_1")
    assert (other["steam_id"], other["link"]) == ("7", item.get_absolute_url())
    changed = client.patch(f"{url}/{file['id']}", {"link": "https://www.gamemaps.com/details/1"}, "application/json")
    assert changed.json()["link"] == "https://www.gamemaps.com/details/1"
    assert AuditEntry.objects.get(action="overlay.link_changed").target == overlay.resource


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://", "ftp://a/b", "https://u:p@a.example", "x y", "//a"]
)
def test_only_the_address_of_a_page_is_a_link(client, cast, overlay, link):
    addon = OverlayAddon.objects.create(overlay=overlay, path="left4dead2/addons/a.vpk", is_valid=True)
    client.force_login(cast.owner)
    client.post(reverse("overlays:set_link", args=[overlay.pk, addon.pk]), {"link": link})
    answer = client.patch(
        f"/api/v1/overlays/{overlay.pk}/campaigns/{addon.pk}", json.dumps({"link": link}), "application/json"
    )
    addon.refresh_from_db()
    assert (answer.status_code, addon.link) == (422, "")


def test_the_installed_game_gives_texts_for_tokens_and_tells_which_of_its_files_are_replaced(overlay, tree):
    version = settings.LEFT4ME_ROOT / "game" / "versions" / "1"
    (version / "left4dead2" / "resource").mkdir(parents=True)
    (settings.LEFT4ME_ROOT / "game" / "current").symlink_to("versions/1")
    vpk_files.write(version / "left4dead2" / "pak01_dir.vpk", {"models/a.mdl": b"1"})
    words = '"lang" { "Tokens" { "L4D360UI_CampaignName_C1" "Dead Center" } }'
    (version / "left4dead2" / "resource" / "l4d360ui_english.txt").write_text(words, encoding="utf-16")
    content = campaign("Mod", "mod_1", title="#L4D360UI_CampaignName_C1")
    vpk_files.write(tree / ADDONS / "mod.vpk", {**content, "models/a.mdl": b"2"})
    build(overlay)
    [addon] = overlay.addons.all()
    assert titles(overlay) == ["Dead Center"]
    assert {w["code"]: w["names"] for w in addon.warnings}["replaces_game_files"] == ["models/a.mdl"]

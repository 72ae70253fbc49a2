"""The file pages in a real browser: their scripts, and their accessibility."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.conf import settings
from django.urls import reverse

from left4me.testing.jobs import drain
from overlays.models import Overlay, OverlayScript
from overlays.tests.factories import make_overlay

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server", "left4me_root"),
]


@pytest.fixture
def overlay(cast):
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner, name="My files")


def test_files_are_sent_in_chunks_and_shown_when_they_are_there(cast, overlay, sign_in, axe, monkeypatch):
    monkeypatch.setattr("overlays.files.uploads.CHUNK", 100_000)
    page = sign_in(cast.owner)
    page.goto(reverse("overlays:files", args=[overlay.pk]))
    axe(page)
    content = bytes(range(256)) * 2000
    chunks = []
    page.on("request", lambda request: chunks.append(request.url) if "?offset=" in request.url else None)
    page.get_by_label("Files").set_input_files({"name": "big.bin", "mimeType": "x/y", "buffer": content})
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("link", name="big.bin").wait_for()
    assert len(chunks) == 6
    assert (settings.LEFT4ME_ROOT / "overlays" / overlay.path / "big.bin").read_bytes() == content
    axe(page)


def test_an_upload_goes_on_by_itself_while_the_web_is_away(cast, overlay, sign_in, monkeypatch, complaints):
    """As during an upgrade: connections break, Caddy answers 502, and the answer of the last request is lost."""
    monkeypatch.setattr("overlays.files.uploads.CHUNK", 100_000)
    complaints.expect("/uploads/")
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(reverse("overlays:files", args=[overlay.pk]))
    faults = {"?offset=100000": ["abort", "502", "lost"], "/finish": ["502", "lost"]}

    def disturb(route):
        waiting = next((left for end, left in faults.items() if route.request.url.endswith(end)), [])
        fault = waiting.pop(0) if waiting else ""
        if fault == "502":
            route.fulfill(status=502, body="")
        elif fault:
            if fault == "lost":
                route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/uploads/**", disturb)
    content = bytes(range(256)) * 1000
    page.get_by_label("Files").set_input_files({"name": "big.bin", "mimeType": "x/y", "buffer": content})
    page.get_by_role("button", name="Upload").click()
    while any(faults.values()):
        page.clock.run_for(1_000)
    page.clock.run_for(60_000)
    page.get_by_role("link", name="big.bin").wait_for()
    assert (settings.LEFT4ME_ROOT / "overlays" / overlay.path / "big.bin").read_bytes() == content


def test_the_editor_numbers_its_lines(cast, overlay, sign_in, axe):
    folder = settings.LEFT4ME_ROOT / "overlays" / overlay.path
    folder.mkdir(parents=True)
    (folder / "server.cfg").write_text("one\ntwo\nthree")
    page = sign_in(cast.owner)
    page.goto(reverse("overlays:edit_file", args=[overlay.pk]) + "?path=server.cfg")
    assert page.locator(".editor-lines").text_content() == "1\n2\n3"
    page.get_by_label("Text").fill("one\ntwo")
    assert page.locator(".editor-lines").text_content() == "1\n2"
    axe(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="server.cfg", exact=True).wait_for()
    assert (folder / "server.cfg").read_text() == "one\ntwo"


def test_the_script_page_is_fine_for_everybody(cast, sign_in, axe):
    overlay = make_overlay(kind=Overlay.Kind.SCRIPT, name="SourceMod")
    OverlayScript.objects.create(overlay=overlay, text="echo 1 > a\n")
    page = sign_in(cast.admin)
    page.goto(reverse("overlays:script", args=[overlay.pk]))
    axe(page)
    page.get_by_role("link", name="competitive-settings").click()
    assert "sv_maxrate" in page.get_by_label("Script").input_value()


def test_the_plan_of_an_archive_is_changed_and_applied(cast, overlay, sign_in, axe):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("Easy/cfg/server.cfg", "Easy/cfg/a.cfg", "Hard/cfg/server.cfg", "README.md"):
            archive.writestr(f"Pack/{name}", name)
    page = sign_in(cast.owner)
    page.goto(reverse("overlays:files", args=[overlay.pk]))
    file = {"name": "pack.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    page.get_by_label("Files").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/plan")
    drain(host=settings.LEFT4ME_HOST)
    root = page.get_by_label("Strip this folder")
    root.wait_for()
    axe(page)
    assert root.input_value() == "Pack/Easy"
    root.select_option("Pack/Hard")
    page.get_by_text("1 file → left4dead2/cfg").wait_for()
    page.get_by_role("button", name="Extract").click()
    page.wait_for_url("**/jobs/*")
    drain(host=settings.LEFT4ME_HOST)
    folder = settings.LEFT4ME_ROOT / "overlays" / overlay.path
    assert (folder / "left4dead2/cfg/server.cfg").read_text() == "Hard/cfg/server.cfg"
    assert not (folder / "left4dead2/cfg/a.cfg").exists()

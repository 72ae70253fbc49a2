"""Static files as production serves them: hashed, compressed, each reference found."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings

from left4me.core.processes import commands

HASHED = "whitenoise.storage.CompressedManifestStaticFilesStorage"


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    root = tmp_path_factory.mktemp("static")
    with override_settings(STATIC_ROOT=root, STORAGES={**settings.STORAGES, "staticfiles": {"BACKEND": HASHED}}):
        call_command("collectstatic", interactive=False, verbosity=0)
        yield storages["staticfiles"]


def test_files_are_hashed_and_compressed(collected):
    name = collected.stored_name("left4me/css/tokens.css")
    assert name != "left4me/css/tokens.css"
    for ending in ("", ".gz", ".br"):
        assert collected.exists(name + ending)
        assert not collected.exists("left4me/css/tokens.css" + ending)


def test_vendored_files_are_what_their_list_says():
    commands.run(["python3", settings.BASE_DIR / "bin/vendor", "--check"], timeout=60)


def test_every_icon_that_templates_name_is_in_the_sprite():
    sprite = set(
        re.findall(r'<symbol id="([^"]+)"', (settings.BASE_DIR / "left4me/site/static/left4me/icons.svg").read_text())
    )
    named = {
        name
        for template in settings.BASE_DIR.glob("*/templates/**/*.html")
        for name in re.findall(r'\{% icon "([^"]+)"', template.read_text())
    }
    assert named <= sprite, f"missing: {', '.join(sorted(named - sprite))}; add them to vendor.json, run bin/vendor"


def test_every_class_that_templates_use_is_styled():
    styled = {
        name
        for sheet in settings.BASE_DIR.glob("left4me/site/static/left4me/css/*.css")
        for name in re.findall(r"\.([a-zA-Z][\w-]*)", sheet.read_text())
    }
    unknown = {
        f"{template.relative_to(settings.BASE_DIR)}: {name}"
        for template in settings.BASE_DIR.glob("**/templates/**/*.html")
        if not template.relative_to(settings.BASE_DIR).parts[0].startswith(".")
        for value in re.findall(r'class="([^"]*)"', template.read_text())
        for name in re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " ", value).split()
        if name not in styled and not name.endswith("-")
    }
    assert not unknown, "\n".join(sorted(unknown))

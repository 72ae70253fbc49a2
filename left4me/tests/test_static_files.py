"""Static files as production serves them: hashed, compressed, each reference found."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import call_command
from django.test import RequestFactory, override_settings

from left4me.core.processes import commands
from left4me.site import bundles, error_pages
from left4me.site.bundles import Bundle
from left4me.testing import static_files

HASHED = "left4me.site.bundles.JoinedStaticFiles"


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


def linked_by_a_page() -> list[str]:
    """The styles and scripts of an error page. Its frame is not kept, so other tests do not see it."""
    page = error_pages.page_not_found(RequestFactory().get("/nowhere")).content.decode()
    return re.findall(r'(?:<script [^>]*src|<link rel="stylesheet" href)="/static/([^"]+)"', page)


def test_a_page_links_one_style_sheet_and_one_script(collected):
    assert linked_by_a_page() == [collected.stored_name(f"left4me/{name}") for name in ("css/all.css", "js/all.js")]
    for name in linked_by_a_page():
        assert collected.exists(name) and collected.exists(f"{name}.br")


def test_a_page_links_the_sources_where_nothing_is_collected():
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": static_files.PLAIN}):
        assert linked_by_a_page() == [*bundles.STYLES.parts, *bundles.SCRIPTS.parts]


@pytest.fixture
def join(tmp_path, monkeypatch):
    """Collects files of these texts, joined by their endings; returns the name and the text of a joined file."""

    def collect(texts: dict[str, str], name: str) -> tuple[str, str]:
        sources = FileSystemStorage(tmp_path / "sources")
        for path, text in texts.items():
            (tmp_path / "sources" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sources" / path).write_text(text)
        for bundle, ending in (("STYLES", "css"), ("SCRIPTS", "js")):
            parts = tuple(path for path in texts if path.endswith(ending))
            monkeypatch.setattr(bundles, bundle, Bundle(f"own/all.{ending}", parts))
        storage = bundles.JoinedStaticFiles(tmp_path / "collected", "/static/")
        for path in texts:
            storage.delete(path)
            with sources.open(path) as source:
                storage.save(path, source)
        for _, _, fault in storage.post_process({path: (sources, path) for path in texts}):
            assert not isinstance(fault, Exception), fault
        hashed = storage.stored_name(name)
        return hashed, (tmp_path / "collected" / hashed).read_text()

    return collect


def test_styles_are_joined_in_their_order_and_find_what_they_name(join):
    texts = {
        "own/b.css": "/* ours */\nb { background: url(../art/x.svg) }\n",
        "own/a.css": "/*! theirs */\na { color: red }\n",
        "art/x.svg": "<svg/>",
    }
    name, text = join(texts, "own/all.css")
    picture, _ = join(texts, "art/x.svg")
    assert text == f'b {{ background: url("../{picture}") }}\n/*! theirs */\na {{ color: red }}\n'
    changed, _ = join({**texts, "own/a.css": "a { color: blue }\n"}, "own/all.css")
    assert changed != name


def test_scripts_are_joined_as_the_modules_that_they_are(join):
    texts = {
        "vendor/one.js": "/*! licence */ var one = 1 // kept",
        "own/b.js": '// Says b.\nconst name = "b"; // here\n  // There.\nuse(name);\n',
        "own/a.js": 'const name = "a";\n',
    }
    _, text = join(texts, "own/all.js")
    begin, end = 'try {(function () {\n"use strict";\n', "})();} catch (fault) { reportError(fault); }\n"
    assert text == (
        "/*! licence */ var one = 1 // kept\n;\n"
        f'{begin}const name = "b"; // here\nuse(name);\n{end}'
        f'{begin}const name = "a";\n{end}'
    )


def test_what_is_joined_means_the_same_as_before():
    source = settings.BASE_DIR / "left4me/site/static"
    for name in bundles.STYLES.parts:
        assert (source / name).parent == (source / bundles.STYLES.name).parent, "addresses are relative to the folder"
        assert not re.search(r"@(import|charset)", (source / name).read_text()), f"{name}: only the first file may"
    for name in filter(bundles.is_module, bundles.SCRIPTS.parts):
        text = (source / name).read_text()
        assert not re.search(r"^(import|export|await)\b|^(const|let) .*= await\b", text, re.M), f"{name}: no module"
        assert all(line.count("`") % 2 == 0 for line in text.splitlines()), f"{name}: // may be text within lines"


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

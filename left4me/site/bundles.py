"""The styles and scripts of every page, which are collected as one file each.

A page over a slow line waits for each file, so one style sheet and one script come sooner than forty, and compress
better. The sources stay as they are: `collectstatic` joins them, and where nothing is collected, as in development and
in most tests, pages link them one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

# Comments that licences ask to keep begin with "/*!".
_STYLE_COMMENT = re.compile(r"/\*(?!!).*?\*/\n?", re.DOTALL)
_SCRIPT_COMMENT = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
# As a module: strict, with names of its own, and a fault does not keep the next one from running.
_MODULE = 'try {{(function () {{\n"use strict";\n{}}})();}} catch (fault) {{ reportError(fault); }}\n'


@dataclass(frozen=True)
class Bundle:
    """Files that are joined in this order. Styles lie beside it: addresses are relative to the folder."""

    name: str
    parts: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """What pages link: the joined file where it has been collected, else its parts."""
        collected = {} if settings.DEBUG else getattr(staticfiles_storage, "hashed_files", {})
        return (self.name,) if self.name in collected else self.parts


STYLES = Bundle(
    "left4me/css/all.css",
    (
        "left4me/css/tokens.css",
        "left4me/css/base.css",
        "left4me/css/layout.css",
        "left4me/css/buttons.css",
        "left4me/css/cards.css",
        "left4me/css/badges.css",
        "left4me/css/tables.css",
        "left4me/css/forms.css",
        "left4me/css/floating.css",
        "left4me/css/messages.css",
        "left4me/css/progress.css",
        "left4me/css/logs.css",
        "left4me/css/charts.css",
        "left4me/css/navigation.css",
        "left4me/css/lists.css",
        "left4me/css/server.css",
        "left4me/css/console.css",
        "left4me/css/maps.css",
    ),
)
# What `vendor/` has comes first and defines its names for all; the others are modules.
SCRIPTS = Bundle(
    "left4me/js/all.js",
    (
        "vendor/htmx.min.js",
        "vendor/htmx-sse.min.js",
        "vendor/idiomorph-ext.min.js",
        "left4me/js/theme.js",
        "left4me/js/menus.js",
        "left4me/js/dialogs.js",
        "left4me/js/copy.js",
        "left4me/js/toasts.js",
        "left4me/js/network.js",
        "left4me/js/morph.js",
        "left4me/js/times.js",
        "left4me/js/images.js",
        "left4me/js/sortable.js",
        "left4me/js/live.js",
        "left4me/js/notify.js",
        "left4me/js/install.js",
        "left4me/js/logs.js",
        "left4me/js/console.js",
        "left4me/js/drafts.js",
        "left4me/js/palette.js",
        "left4me/js/keys.js",
        "left4me/js/charts.js",
        "left4me/js/lists.js",
        "left4me/js/maps.js",
    ),
)


def is_module(name: str) -> bool:
    return name in SCRIPTS.parts and not name.startswith("vendor/")


def joined(bundle: Bundle, texts: dict[str, str]) -> str:
    """The text of the joined file, from those of its parts."""
    return "".join(_ready(name, texts[name]) for name in bundle.parts)


def _ready(name: str, text: str) -> str:
    """The text of a part as it stands in the joined file: without our comments, which are a tenth of its bytes."""
    if name.endswith(".css"):
        return _STYLE_COMMENT.sub("", text)
    if is_module(name):
        return _MODULE.format(_SCRIPT_COMMENT.sub("", text))
    # A statement that ends without a semicolon would go on in the next file.
    return f"{text}\n;\n"


class JoinedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Joins the bundles before files are hashed, so that their names change with their content as all names do."""

    def post_process(self, paths: dict[str, Any], **options: Any) -> Iterator[Any]:
        if not options.get("dry_run"):
            for bundle in (STYLES, SCRIPTS):
                texts = {}
                for name in bundle.parts:
                    storage, path = paths[name]
                    with storage.open(path) as source:
                        texts[name] = source.read().decode()
                # An earlier run that was interrupted has left it.
                self.delete(bundle.name)
                self.save(bundle.name, ContentFile(joined(bundle, texts).encode()))
                paths[bundle.name] = (self, bundle.name)
        yield from super().post_process(paths, **options)

"""The frame of pages: the entries of the side bar, and what every page links."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core.web.request import is_admin
from left4me.site import bundles


@dataclass(frozen=True)
class Place:
    path: str
    icon: str
    title: str | Promise
    admins_only: bool = False
    key: str = ""  # opens it after the key g
    # Below "More": what is seldom needed, or for those who look behind the pages.
    is_rare: bool = False
    # On a phone in the user's menu: the bar at the bottom has room for five.
    is_in_phone_menu: bool = False

    def is_current(self, path: str) -> bool:
        return path == self.path if self.path == "/" else path.rstrip("/").startswith(self.path.rstrip("/"))


PLACES = [
    Place("/", "layout-dashboard", _("Dashboard"), key="d"),
    Place("/servers", "server", _("Servers"), key="s"),
    Place("/blueprints", "drafting-compass", _("Blueprints"), key="b"),
    Place("/overlays", "layers", _("Overlays"), key="o"),
    Place("/schedules", "calendar", _("Schedules"), key="c", is_in_phone_menu=True),
    Place("/players", "gamepad-2", _("Players"), key="p", is_in_phone_menu=True),
    Place("/matches", "trophy", _("Matches"), key="m", is_in_phone_menu=True),
    Place("/bans", "ban", _("Bans"), key="x", is_in_phone_menu=True),
    Place("/jobs", "list-checks", _("Activity"), key="j"),
    Place("/hosts", "hard-drive", _("Hosts"), admins_only=True),
    Place("/backups", "archive", _("Backups"), admins_only=True),
    Place("/workshop", "package", _("Workshop"), admins_only=True),
    Place("/users", "users", _("Users"), admins_only=True),
    Place("/audit", "scroll-text", _("Audit log"), admins_only=True),
    Place("/imports", "folder-open", _("Import servers"), admins_only=True, is_rare=True),
    Place("/admin/", "database", _("Database"), admins_only=True, is_rare=True),
    Place("/styleguide", "palette", _("Styleguide"), admins_only=True, is_rare=True),
]


@cache
def is_routed(path: str) -> bool:
    """Whether there is such a page. The URLs of a running program do not change."""
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the frame of pages shows, apart from the visitor's name. Its parts are rendered once for equal ones."""

    is_admin: bool = False
    current: str = ""  # the path of the place to which the page belongs
    theme: str = ""
    game_is_simulated: bool = False

    @property
    def places(self) -> list[tuple[Place, bool]]:
        """The entries that the visitor may open, each with whether it is the current one."""
        return [
            (place, place.path == self.current)
            for place in PLACES
            if (self.is_admin or not place.admins_only) and is_routed(place.path)
        ]

    @property
    def styles(self) -> tuple[str, ...]:
        return bundles.STYLES.files

    @property
    def scripts(self) -> list[tuple[str, bool]]:
        """The scripts, each with whether it is a module."""
        return [(name, bundles.is_module(name)) for name in bundles.SCRIPTS.files]


def frame_of(request: HttpRequest, *, theme: str, game_is_simulated: bool) -> Frame:
    current = next((place.path for place in PLACES if place.is_current(request.path)), "")
    return Frame(is_admin=is_admin(request.user), current=current, theme=theme, game_is_simulated=game_is_simulated)

"""The pages, the lists of the JSON API and the reports that bench/growth asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from django.test import Client

from bench.growth_installation import Installation
from bench.growth_work import FLAT, LINEAR, Work


class Refused(Exception):
    """A page did not come, so it has no figures."""


@dataclass(frozen=True)
class Page:
    path: str
    who: str = "owner"
    limit: float = FLAT
    full: int = 1


_PAGES = (
    Page("/", full=10),
    Page("/", "admin", full=10),
    Page("/palette?q=server", full=10),
    Page("/bell", full=10),
    Page("/servers", full=10),
    Page("/servers", "admin", full=10),
    Page("/servers?q=server+1", "admin", full=10),
    Page("/servers/deleted", full=10),
    Page("/servers/{busy}"),
    Page("/servers/{busy}/state"),
    Page("/servers/{busy}/live-state"),
    Page("/servers/{busy}/players"),
    Page("/servers/{busy}/states"),
    Page("/servers/{busy}/console"),
    Page("/servers/{busy}/settings", full=10),
    Page("/servers/{busy}/changes"),
    Page("/servers/{busy}/resources"),
    Page("/servers/{busy}/admins"),
    Page("/servers/{busy}/maps"),
    Page("/servers/{busy}/matches", full=10),
    # It names the visitors during each demo; those of the busy server are many.
    Page("/servers/{busy}/demos", limit=LINEAR),
    Page("/servers/{busy}/backups"),
    Page("/servers/{busy}/schedules"),
    Page("/servers/{quiet}/history?span=30d"),
    Page("/servers/{quiet}/figures?range=30d"),
    Page("/blueprints", "admin", full=10),
    Page("/blueprints/{blueprint}"),
    Page("/blueprints/{blueprint}/edit"),
    Page("/blueprints/{blueprint}/versions"),
    Page("/overlays", "admin", full=10),
    Page("/overlays/{overlay}"),
    Page("/overlays/{overlay}/edit"),
    Page("/workshop", "admin"),
    Page("/hosts", "admin"),
    Page("/hosts/{host}", "admin", full=10),
    Page("/jobs"),
    Page("/jobs", "admin"),
    Page("/jobs?state=failed", "admin"),
    Page("/jobs/{job}", "admin"),
    Page("/players"),
    Page("/players", "admin"),
    Page("/players?q=player+77", "admin"),
    Page("/players/{account}"),
    Page("/bans", full=10),
    Page("/bans", "admin"),
    Page("/banlists", full=10),
    Page("/banlists", "admin", full=10),
    Page("/banlists/{ban_list}"),
    Page("/matches", full=10),
    Page("/matches", "admin"),
    Page("/matches/{match}", "admin"),
    Page("/schedules", full=10),
    Page("/schedules", "admin", full=10),
    Page("/schedules/{schedule}"),
    Page("/status-pages"),
    Page("/status/growth", full=10),
    Page("/audit", "admin"),
    Page("/audit?action=server.start", "admin"),
    Page("/users", "admin", full=10),
    Page("/users/invitations", "admin", full=10),
    Page("/accounts/"),
    Page("/accounts/sessions/", full=100),
    Page("/accounts/alerts/"),
    Page("/accounts/alerts/{channel}/"),
    Page("/backups", "admin"),
)
_API = (
    Page("servers?limit=50", "admin", full=10),
    Page("servers/{busy}"),
    Page("servers/{busy}/live"),
    Page("servers/{busy}/states"),
    Page("servers/{busy}/players?limit=50"),
    Page("servers/{busy}/orders"),
    Page("servers/{busy}/votes"),
    Page("servers/{busy}/runs"),
    Page("servers/{busy}/demos", limit=LINEAR),
    Page("servers/{busy}/backups"),
    Page("servers/{quiet}/figures?range=30d"),
    Page("servers/{quiet}/history?span=30d"),
    Page("blueprints?limit=50", "admin", full=10),
    Page("overlays?limit=50", "admin", full=10),
    Page("workshop-items?limit=50", "admin"),
    Page("attention", "admin", full=10),
    Page("jobs?limit=50"),
    Page("jobs?limit=50", "admin"),
    Page("jobs/{job}/log", "admin"),
    Page("players?limit=50", "admin"),
    Page("players/{account}"),
    Page("bans?limit=50", "admin"),
    Page("banlists?limit=50", "admin", full=10),
    Page("matches?limit=50", "admin"),
    Page("schedules?limit=50", "admin", full=10),
    Page("schedules/{schedule}/runs"),
    Page("alerts/{channel}/deliveries"),
)
_HISTORY = (
    Page("/servers/{busy}/history?span=24h", limit=LINEAR),
    Page("/servers/{busy}/history?span=30d", limit=LINEAR),
    Page("/servers/{busy}/history.csv?span=30d", limit=LINEAR),
    Page("/api/v1/servers/{busy}/history?span=30d", limit=LINEAR),
)


def pages(site: Installation) -> Iterator[Work]:
    """The pages that people look at, as the owner of the busy server or as an admin."""
    yield from requests(site, _PAGES)


def api(site: Installation) -> Iterator[Work]:
    """Lists and rows of the JSON API."""
    yield from requests(site, tuple(replace(page, path=f"/api/v1/{page.path}") for page in _API))


def history(site: Installation) -> Iterator[Work]:
    """Reports over a span of the busy server, which read every visit in it."""
    yield from requests(site, _HISTORY)


def requests(site: Installation, wanted: tuple[Page, ...]) -> Iterator[Work]:
    ids = {
        "busy": site.busy.pk,
        "quiet": site.quiet.pk,
        "blueprint": site.busy.blueprint_id,
        **{name: getattr(site, name).pk for name in ("overlay", "host", "channel", "schedule", "ban_list")},
        **{name: getattr(site, name) for name in ("account", "job", "match")},
    }
    clients = {}
    for who in ("owner", "admin"):
        clients[who] = Client(HTTP_HOST="127.0.0.1")
        clients[who].force_login(getattr(site, who))
    for page in wanted:
        path = page.path.format(**ids)
        yield Work(
            f"{page.path} ({page.who})" if page.who != "owner" else page.path,
            _get(clients[page.who], path),
            page.limit,
            page.full,
        )


def _get(client: Client, path: str) -> Callable[[], object]:
    def get() -> None:
        response = client.get(path)
        if response.status_code != 200:
            raise Refused(f"it answered {response.status_code}")
        # What is sent as it is made costs when it is read.
        b"".join(response)  # type: ignore[call-overload]

    return get

"""What each page of the inventory costs a browser: bench/pages --browser. Ends with 1 if a page is beyond a limit.

Real uvicorn with compressed static files, an installation in use with forty servers, headless Chromium with an empty
cache; each page wide and on a phone. Times are this machine's; sizes and shifts of the layout are the pages' own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench import stack
from left4me.testing.browser import BROWSER, CHROMIUM_ARGUMENTS

MOST_SHIFT = 0.02
MOST_BYTES = 150_000
# Long enough for what a page fetches by itself.
_SETTLED_MS = 1_500
_WIDTHS = {"wide": (1280, 900), "phone": (390, 844)}
_OBSERVE = """
  window.seen = { shift: 0, moved: [], largest: 0 };
  new PerformanceObserver(list => list.getEntries().forEach(each => {
    if (each.hadRecentInput) return;
    seen.shift += each.value;
    for (const { node } of each.sources) {
      seen.moved.push(node?.id || node?.className || node?.nodeName || '');
    }
  })).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver(list => { seen.largest = list.getEntries().at(-1).startTime; })
    .observe({ type: 'largest-contentful-paint', buffered: true });
"""
_PICTURES = {"Image", "Media"}


@dataclass(frozen=True)
class Cost:
    first: float
    largest: float
    main_thread: float
    shift: float
    moved: list[str]
    size: int
    requests: int

    @property
    def is_beyond(self) -> bool:
        return self.shift >= MOST_SHIFT or self.size > MOST_BYTES


def main() -> int:
    from playwright.sync_api import sync_playwright

    # No worker reports here, and a host that goes offline moves its pages.
    os.environ["LEFT4ME_STATUS_SECONDS"] = "3600"
    stack.redis()
    stack.prepare()
    # Before the pages are found: it collects the static files that they name.
    _process, port = stack.web()
    session, paths = _furnish()
    print(
        f"{'page':<44}{'':>6}{'first':>8}{'largest':>9}{'main':>8}{'shift':>8}{'kB':>7}{'requests':>10}"
        f"   (ms; limits: shift < {MOST_SHIFT}, {MOST_BYTES // 1000} kB without pictures)"
    )
    beyond = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=CHROMIUM_ARGUMENTS)
        for path in paths:
            for name, cost in _costs(browser, f"http://127.0.0.1:{port}", path, session):
                beyond += cost.is_beyond
                _print(path, name, cost)
        browser.close()
    print(f"{len(paths)} pages, {beyond} beyond a limit")
    return 1 if beyond else 0


def _furnish() -> tuple[str, list[str]]:
    """Make the installation; returns an admin's session and the paths of the pages."""
    from django.conf import settings
    from django.db import connections
    from django.test import Client
    from django.utils import timezone

    from accounts.models import User
    from left4me.tests import inventory
    from left4me.tests.crowd import crowd

    settings.ALLOWED_HOSTS.append("testserver")
    admin, friend = User.objects.create_user("ada", is_admin=True), User.objects.create_user("vera")
    things = inventory.furnish_all(admin, friend, timezone.now())
    crowd(admin, timezone.now())
    client = Client()
    client.force_login(admin)
    paths = [each.path for each in inventory.addresses(things) if inventory.is_page(client.get(each.path))]
    connections.close_all()
    return client.cookies[settings.SESSION_COOKIE_NAME].value, paths


def _costs(browser: Any, url: str, path: str, session: str) -> Iterator[tuple[str, Cost]]:
    for name, (width, height) in _WIDTHS.items():
        context = browser.new_context(base_url=url, viewport={"width": width, "height": height})
        context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
        page = context.new_page()
        page.add_init_script(_OBSERVE)
        devtools = context.new_cdp_session(page)
        kinds: dict[str, str] = {}
        sizes: dict[str, int] = {}
        devtools.on(
            "Network.responseReceived", lambda event, kinds=kinds: kinds.update({event["requestId"]: event["type"]})
        )
        devtools.on(
            "Network.loadingFinished",
            lambda event, sizes=sizes: sizes.update({event["requestId"]: event["encodedDataLength"]}),
        )
        devtools.send("Network.enable")
        devtools.send("Performance.enable")
        page.goto(path)
        page.wait_for_timeout(_SETTLED_MS)
        seen = page.evaluate("seen")
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
        metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
        yield (
            name,
            Cost(
                first=first,
                largest=seen["largest"],
                main_thread=1000 * metrics["TaskDuration"],
                shift=seen["shift"],
                moved=seen["moved"],
                size=round(sum(size for request, size in sizes.items() if kinds.get(request) not in _PICTURES)),
                requests=len(kinds),
            ),
        )
        context.close()


def _print(path: str, name: str, cost: Cost) -> None:
    moved = f"   beyond; moved: {', '.join(dict.fromkeys(cost.moved))[:120]}" if cost.is_beyond else ""
    print(
        f"{path[:43]:<44}{name:>6}{cost.first:>8.0f}{cost.largest:>9.0f}{cost.main_thread:>8.0f}{cost.shift:>8.3f}"
        f"{cost.size / 1000:>7.0f}{cost.requests:>10}{moved}",
        flush=True,
    )

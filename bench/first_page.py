"""Print what a person's first page after the sign-in takes over a slow line; bench/start runs this.

Headless Chromium with an empty cache asks the real web for the dashboard. Bytes are those of the answers, compressed
and with their headers, of everything that the page fetches: HTML, styles, scripts, fonts, icons, pictures. Round
trips are counted by delay: each answer comes so much later than it was asked for, and the line is fast otherwise, so
that the time from the end of the HTML until the page is painted and its scripts have run is a number of delays.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from bench import figures, stack
from bench.figures import Figure
from left4me.testing.browser import BROWSER, CHROMIUM_ARGUMENTS

DELAY_MS = 500
_SETTLED_MS = 3_000
_PAGE = "/"
_TIMES = """() => {
  const page = performance.getEntriesByType('navigation')[0];
  const painted = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
  return [page.responseEnd, Math.max(page.domContentLoadedEventEnd, painted)];
}"""


@dataclass(frozen=True)
class Answer:
    kind: str
    size: int
    url: str


def main() -> None:
    from playwright.sync_api import sync_playwright

    stack.redis()
    stack.prepare()
    _process, port = stack.web()
    url = f"http://127.0.0.1:{port}"
    cookie = {"url": url, **_sign_in()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=CHROMIUM_ARGUMENTS)
        answers, _ = _visit(browser, url, cookie, delay=0)
        _, round_trips = _visit(browser, url, cookie, delay=DELAY_MS)
        browser.close()
    kinds: dict[str, list[Answer]] = {}
    for answer in answers:
        kinds.setdefault(answer.kind, []).append(answer)
    for kind, some in kinds.items():
        names = " ".join(f"{each.url.rpartition('/')[2][:24] or '/'} {each.size / 1000:.1f}" for each in some)
        print(f"    {kind:<12}{len(some):>4}{sum(each.size for each in some) / 1000:>8.1f} kB   {names[:160]}")
    size = sum(answer.size for answer in answers) / 1000
    figures.record(
        f"{'first page: transferred':<52}{size:>9.1f} kB",
        Figure("start", "first page: transferred", size, "kB"),
        Figure("start", "first page: requests", len(answers), "requests"),
    )
    figures.record(
        f"{'first page: round trips after HTML until usable':<52}{round_trips:>9.1f}",
        Figure("start", "first page: round trips after HTML until usable", round_trips, ""),
    )


def _sign_in() -> dict[str, str]:
    """Make a person who is signed in; return the cookie of the session."""
    from django.conf import settings
    from django.db import connections
    from django.test import Client

    from accounts.models import User

    client = Client()
    client.force_login(User.objects.create_user("anna", is_admin=True))
    connections.close_all()
    return {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}


def _visit(browser: Any, url: str, cookie: dict[str, str], *, delay: int) -> tuple[list[Answer], float]:
    """Open the page with an empty cache; return what was answered, and the round trips until it was usable."""
    context = browser.new_context(base_url=url)
    context.add_cookies([cookie])
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    seen: dict[str, tuple[str, str]] = {}
    answers: list[Answer] = []
    devtools.on(
        "Network.responseReceived",
        lambda event: seen.update({event["requestId"]: (event["type"], event["response"]["url"])}),
    )
    devtools.on(
        "Network.loadingFinished",
        lambda event: answers.append(Answer(*_said(seen, event["requestId"], event["encodedDataLength"]))),
    )
    devtools.send("Network.enable")
    devtools.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": delay, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    page.goto(_PAGE)
    page.wait_for_timeout(_SETTLED_MS + 4 * delay)
    answered, usable = page.evaluate(_TIMES)
    context.close()
    return answers, (usable - answered) / delay if delay else 0.0


def _said(seen: dict[str, tuple[str, str]], request: str, size: float) -> tuple[str, int, str]:
    kind, url = seen.get(request, ("Other", ""))
    return kind, round(size), url


if __name__ == "__main__":
    main()

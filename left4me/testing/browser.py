"""Fixtures for pages in headless Chromium, against the live server. A test fails for anything the browser reports."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from django.test import Client
    from playwright.sync_api import ConsoleMessage, Page, Response
    from pytest_django.live_server_helper import LiveServer

    from accounts.models import User

# Playwright's own five seconds are too few while other tests use all processors.
expect.set_options(timeout=20_000)
# Playwright's synchronous API runs an event loop in the test's thread, where Django would refuse the database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
os.environ["DJANGO_LIVE_TEST_SERVER_ADDRESS"] = "127.0.0.1"

AXE = Path(__file__).resolve().parent.parent / "tests/vendor/axe.min.js"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The folder for pictures of the tests; without it none are taken.
PICTURES = "LEFT4ME_TEST_PICTURES"
_SETTLED_MS = 700
# Chromium without its own window: half the processor time, and no requests that no page asked for (favicon.ico).
BROWSER = "chromium-headless-shell"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    # Sites that a test makes up may frame the live server. Chromium refuses that to sites of the network.
    "--disable-features=LocalNetworkAccessChecks",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Complaints:
    """What the browser complained about. A test that provokes an answer such as 429 says so with `expect`."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        # Every page answers an invalid form with 422, which the browser reports although it shows the page. The live
        # server of the tests serves no streams, which are an application of their own.
        self._expected = ["status of 422", "/live?", "Service Worker registration blocked"]

    def expect(self, words: str) -> None:
        self._expected.append(words)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(f"script error: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.seen.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.seen.append(f"answer {response.status}: {response.url}")

    def take(self) -> list[str]:
        """What is unexpected so far; the test reports it itself."""
        lines = self.unexpected()
        self.seen.clear()
        return lines

    def unexpected(self) -> list[str]:
        return [line for line in self.seen if not any(words in line for words in self._expected)]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_type_launch_args,
        "executable_path": shutil.which(BROWSER),
        "args": CHROMIUM_ARGUMENTS,
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any], live_server: LiveServer) -> dict[str, Any]:
    # A service worker would hide requests from the tests' routes; its own tests allow it.
    own = {"base_url": live_server.url, "reduced_motion": "reduce", "service_workers": "block"}
    return {**browser_context_args, **own}


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fail the test after a console error, a script error, a source that the CSP refused, or a response of 5xx."""
    complaints = Complaints()
    yield complaints
    assert not complaints.unexpected(), "\n".join(complaints.unexpected())


@pytest.fixture
def page(page: Page, complaints: Complaints, redis_client: object) -> Page:
    """A watched page; `page.goto("/jobs")` is relative to the live server."""
    complaints.watch(page)
    page.set_default_timeout(20_000)
    return page


@pytest.fixture
def sign_in(page: Page, client: Client, live_server: LiveServer) -> Callable[[User], Page]:
    """`sign_in(cast.owner)` is the page with that person's session, without the detour over the form."""

    def enter(user: User) -> Page:
        client.force_login(user)
        page.context.add_cookies(
            [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
        )
        return page

    return enter


@pytest.fixture
def axe() -> Callable[..., None]:
    """`axe(page)` fails with what axe-core finds on the page as it stands now; `axe(page, [rule])` looks for less."""

    def check(page: Page, rules: Sequence[str] = AXE_RULES) -> None:
        if not page.evaluate("typeof axe === 'object'"):
            # Evaluated, not added as a tag: the page's own policy refuses tags.
            page.evaluate(AXE.read_text())
        # What stands in a sandboxed frame is not ours, and cannot be asked.
        options = "{runOnly: rules, resultTypes: ['violations'], iframes: false}"
        found = page.evaluate(f"rules => axe.run(document, {options})", list(rules))
        lines = [
            f"{violation['id']} ({violation['impact']}): {violation['help']}\n    "
            + "\n    ".join(f"{node['target']} {node['failureSummary']}" for node in violation["nodes"][:5])
            for violation in found["violations"]
        ]
        assert not lines, f"axe on {page.url}:\n" + "\n".join(lines)

    return check


@pytest.fixture
def picture(page: Page) -> Callable[..., None]:
    """`picture("day-one", "server")` keeps a picture of the page where `bin/pictures FOLDER` wants it."""

    def keep(*names: str, of: Page = page) -> None:
        if folder := os.environ.get(PICTURES):
            # What htmx and the charts fetch after the page.
            of.wait_for_timeout(_SETTLED_MS)
            of.screenshot(path=Path(folder, *names[:-1], f"{names[-1]}.png"), full_page=True)

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hide Playwright's loop, suspended in this thread until the session ends, from tests that use asyncio.run."""
    loop = asyncio._get_running_loop()
    if item.get_closest_marker("browser") is None:
        asyncio._set_running_loop(None)
    try:
        return (yield)
    finally:
        asyncio._set_running_loop(loop or asyncio._get_running_loop())

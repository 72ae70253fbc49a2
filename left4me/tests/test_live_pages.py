"""Pages that hear what changed: in a browser, with the connection that left4me serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Request, expect

from accounts.models import User
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from left4me.jobs.states import State
from left4me.testing.cast import Cast
from left4me.tests.live_site import LiveSite
from servers.actions import sharing
from servers.models import Server, ServerShare
from servers.tests.factories import make_host, make_server, share

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

IS_LIVE = "body[data-live]"
HIDE = """Object.defineProperty(document, 'hidden', {get: () => window.isHidden ?? false, configurable: true});
    window.hide = is => { window.isHidden = is; document.dispatchEvent(new Event('visibilitychange')); };"""


@pytest.fixture
def server(cast: Cast) -> Server:
    server = make_server(
        cast.owner,
        host=make_host(last_seen_at=timezone.now() + timedelta(minutes=5)),
        name="Friday",
        actual_state="running",
        desired_state="running",
        actual_state_at=timezone.now(),
    )
    share(server, cast.viewer)
    return server


@pytest.fixture
def visit(sign_in: Callable[[User], Page], live_site: LiveSite) -> Callable[..., Page]:
    """`visit(user, "/servers")` opens a page and waits until it is live."""

    def open_page(user: User, path: str) -> Page:
        page = sign_in(user)
        page.goto(live_site.url + path)
        page.locator(IS_LIVE).wait_for()
        return page

    return open_page


def _asked(page: Page) -> list[str]:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/static/" not in request.url:
            asked.append(request.url)

    page.on("request", note)
    return asked


def test_a_job_of_another_session_shows_on_the_list_the_page_and_the_bell(cast, server, visit, live_site):
    page = visit(cast.owner, f"/servers/{server.pk}")
    others = {path: page.context.new_page() for path in ("/servers", "/jobs")}
    for path, other in others.items():
        other.goto(live_site.url + path)
        other.locator(IS_LIVE).wait_for()
    pages = [page, *others.values()]
    for each in pages:
        each.evaluate("window.isTheSame = true")
    job = jobs.request(operation="stop", resource=server.resource, by=cast.owner, host=server.host.name)
    expect(page.locator(".server-job")).to_contain_text("Queued")
    expect(others["/jobs"].locator(f"#job-{job.pk}")).to_contain_text("Queued")
    transitions.claim(host=job.host, worker="w", limit=1, now=timezone.now(), lease=timedelta(minutes=1))
    expect(page.locator(".server-facts")).to_contain_text("Stopping")
    expect(others["/servers"].locator(f"#server-{server.pk}")).to_contain_text("Stopping")
    job = Job.objects.get()
    assert transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error="It did not stop.")
    expect(others["/jobs"].locator(f"#job-{job.pk}")).to_contain_text("Failed")
    for each in pages:
        expect(each.locator("#bell-count")).to_contain_text("new")
        assert each.evaluate("window.isTheSame"), "it was loaded again"


def test_a_page_asks_for_nothing_while_nothing_changes(cast, server, visit, page):
    page.clock.install()
    visit(cast.owner, f"/servers/{server.pk}")
    page.locator("#bell-news input").first.wait_for(state="attached")
    asked = _asked(page)
    # Six times as long as a page waits between two questions without a connection.
    page.clock.run_for(30_000)
    assert not asked


def test_a_page_that_lost_its_connection_asks_by_itself_and_is_right_when_it_is_back(
    cast, server, visit, live_site, complaints
):
    complaints.expect("ERR_")
    complaints.expect("503")
    complaints.expect("/live?")
    complaints.expect("htmx:")
    page = visit(cast.owner, f"/servers/{server.pk}")
    live_site.refuses_streams = True
    live_site.cut()
    expect(page.locator(IS_LIVE)).to_have_count(0)
    # Without a signal, as when Redis is away.
    Server.objects.update(actual_state=Server.State.CRASHED)
    expect(page.locator(".server-facts")).to_contain_text("Crashed", timeout=20_000)
    Server.objects.update(actual_state=Server.State.STOPPED)
    live_site.refuses_streams = False
    page.locator(IS_LIVE).wait_for(timeout=60_000)
    expect(page.locator(".server-facts")).to_contain_text("Stopped")


def test_a_share_that_is_revoked_ends_what_a_page_shows_and_its_log(cast, server, visit, complaints):
    complaints.expect("404")
    page = visit(cast.viewer, f"/servers/{server.pk}/console")
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    sharing.revoke(share=ServerShare.objects.get(), by=cast.owner)
    expect(page.locator("main")).to_contain_text("This no longer exists")
    expect(page.locator("[data-log-state]")).to_have_text("Connection lost", timeout=20_000)


def test_a_hidden_tab_gives_its_connection_back_and_is_right_when_it_shows_again(cast, server, visit, live_site, page):
    page.add_init_script(HIDE)
    page.clock.install()
    visit(cast.owner, f"/servers/{server.pk}")
    assert live_site.open_streams == 1
    asked = _asked(page)
    page.evaluate("hide(true)")
    page.clock.run_for(11_000)
    expect(page.locator(IS_LIVE)).to_have_count(0)
    page.clock.run_for(60_000)
    assert not asked
    Server.objects.update(actual_state=Server.State.STOPPED)
    page.evaluate("hide(false)")
    page.clock.run_for(2_000)
    expect(page.locator(".server-facts")).to_contain_text("Stopped")
    page.locator(IS_LIVE).wait_for()


@pytest.fixture
def notified(sign_in: Callable[[User], Page], page: Page, live_site: LiveSite) -> Page:
    """A page that hands its notifications to the test, not to a service worker; the shell of Chromium permits none."""
    page.context.grant_permissions(["notifications"], origin=live_site.url)
    page.add_init_script(HIDE)
    page.add_init_script(
        """window.told = [];
        Object.defineProperty(Notification, 'permission', {get: () => 'granted'});
        Object.defineProperty(navigator, 'serviceWorker', {value: {register: async () => {},
            ready: Promise.resolve({active: {postMessage: message => window.told.push(message)}})}});"""
    )
    return page


def test_what_is_new_in_the_bell_is_told_once_while_nobody_looks(cast, server, notified, visit, live_site):
    page = visit(cast.owner, "/servers")
    page.locator("#bell-news input").first.wait_for(state="attached")
    page.locator(".bell > summary").click()
    page.get_by_role("button", name="Notify me in this browser").click()
    page.get_by_role("button", name="Stop notifying me in this browser").wait_for()
    page.wait_for_function("() => 'watches' in document.body.dataset")
    _fail(server, cast.owner)
    expect(page.locator("#bell-news [data-notice]")).to_have_count(1)
    assert page.evaluate("told") == [], "it is on the screen"
    page.evaluate("hide(true)")
    _fail(server, cast.owner)
    page.wait_for_function("() => told.length === 1")
    (notice,) = page.evaluate("told[0].notices")
    assert (notice["title"], notice["body"]) == ("Stop: Failed", "Friday")
    page.evaluate("document.querySelector('#bell-news').dispatchEvent(new CustomEvent('signal'))")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("told.length") == 1


@pytest.mark.notifications
def test_a_browser_shows_what_the_service_worker_is_told(cast, server, client, browser_type, live_site):
    client.force_login(cast.owner)
    browser = browser_type.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--headless=new"])
    context = browser.new_context(base_url=live_site.url)
    context.grant_permissions(["notifications"], origin=live_site.url)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_site.url}])
    page = context.new_page()
    page.add_init_script(HIDE)
    page.goto("/servers")
    page.locator(IS_LIVE).wait_for()
    page.locator("#bell-news input").first.wait_for(state="attached")
    page.locator(".bell > summary").click()
    page.get_by_role("button", name="Notify me in this browser").click()
    page.wait_for_function("() => 'watches' in document.body.dataset && navigator.serviceWorker.controller")
    # Playwright keeps every tab visible, and the worker asks the browser itself.
    context.service_workers[0].evaluate("self.clients.matchAll = async () => []")
    page.evaluate("hide(true)")
    _fail(server, cast.owner)
    page.evaluate(
        """() => navigator.serviceWorker.ready.then(worker => setInterval(async () => {
            window.shown = (await worker.getNotifications()).map(each => [each.title, each.body, each.data.url]);
        }, 100))"""
    )
    page.wait_for_function("() => window.shown?.length")
    assert page.evaluate("shown") == [["Stop: Failed", "Friday", f"{live_site.url}/jobs/{Job.objects.get().pk}"]]
    browser.close()


def _fail(server: Server, user: User) -> None:
    job = jobs.request(operation="stop", resource=server.resource, by=user, host=server.host.name)
    transitions.claim(host=job.host, worker="w", limit=1, now=timezone.now(), lease=timedelta(minutes=1))
    job.refresh_from_db()
    assert transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error="It did not stop.")


@pytest.fixture
def installed(browser: Browser, client, cast: Cast, live_site: LiveSite) -> Iterator[Page]:
    """A page of the owner with the service worker in charge."""
    client.force_login(cast.owner)
    context = browser.new_context(base_url=live_site.url)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_site.url}])
    page = context.new_page()
    page.goto("/servers")
    page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=30_000)
    yield page
    context.close()


def test_the_service_worker_shows_a_page_without_network_and_keeps_no_page_of_users(installed, server, live_site):
    installed.goto(f"/servers/{server.pk}")
    kept = installed.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async name =>
            (await (await caches.open(name)).keys()).map(each => new URL(each.url).pathname)))).flat()"""
    )
    assert "/offline" in kept
    assert [path for path in kept if path != "/offline" and not path.startswith("/static/")] == []
    live_site.stop()
    installed.goto(f"/servers/{server.pk}")
    installed.get_by_role("heading", name="You are offline").wait_for()
    assert "anna" not in installed.content()


def test_the_app_can_be_installed_with_icons_that_exist(client):
    answer = client.get("/app.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    manifest = answer.json()
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
    assert "maskable" in {icon["purpose"] for icon in manifest["icons"]}
    worker = client.get("/sw.js")
    assert (worker["Content-Type"], worker["Cache-Control"]) == ("text/javascript", "no-cache")

"""What the small scripts do, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def guide(cast, sign_in):
    page = sign_in(cast.admin)
    page.goto("/styleguide")
    return page


def test_choosing_dark_takes_effect_at_once_and_stays(guide):
    guide.locator(".user-menu > summary").click()
    guide.locator(".user-menu").get_by_role("button", name="Dark").click()
    assert guide.evaluate("document.documentElement.dataset.theme") == "dark"
    guide.goto("/")
    assert guide.evaluate("document.documentElement.dataset.theme") == "dark"
    guide.locator(".user-menu > summary").click()
    guide.locator(".user-menu").get_by_role("button", name="Auto").click()
    guide.goto("/")
    assert guide.evaluate("document.documentElement.dataset.theme") is None


def test_a_question_comes_first_and_no_means_no(guide):
    ask = guide.get_by_role("button", name="Confirm first").first
    ask.click()
    dialog = guide.locator("#confirm")
    assert dialog.get_by_role("heading").inner_text() == "Stop the server?"
    dialog.get_by_role("button", name="Cancel").click()
    assert not dialog.evaluate("each => each.open")
    assert "?" not in guide.url


def test_a_question_answered_with_yes_sends_the_form(guide):
    guide.get_by_role("button", name="Confirm first").first.click()
    guide.locator("#confirm").get_by_role("button", name="Stop").click()
    guide.wait_for_url("**/styleguide?*")


def order(page):
    return page.locator(".sortable").first.locator("li .grow").all_inner_texts()


def test_a_list_is_sorted_by_keyboard(guide):
    guide.locator(".sortable .grip").first.focus()
    guide.keyboard.press("ArrowDown")
    assert order(guide) == ["Friday maps", "Competitive config", "SourceMod"]
    guide.keyboard.press("ArrowDown")
    assert order(guide) == ["Friday maps", "SourceMod", "Competitive config"]


def test_a_list_is_sorted_by_its_buttons(guide):
    guide.get_by_role("button", name="SourceMod up").first.click()
    assert order(guide) == ["Competitive config", "SourceMod", "Friday maps"]


def test_a_list_is_sorted_by_dragging(guide):
    first = guide.locator(".sortable").first.locator("li")
    guide.locator(".sortable .grip").first.hover()
    guide.mouse.down()
    target = first.nth(2).bounding_box()
    guide.mouse.move(target["x"] + 20, target["y"] + target["height"] - 4, steps=8)
    guide.mouse.up()
    assert order(guide) == ["Friday maps", "SourceMod", "Competitive config"]


def test_a_toast_shows_what_the_server_says_and_can_be_closed(guide):
    guide.evaluate(
        "document.body.dispatchEvent(new CustomEvent('toast', {bubbles: true, detail: {messages: ["
        "{text: 'Saved.', tone: 'ok'}]}}))"
    )
    toast = guide.locator("#toasts .toast")
    assert toast.locator("p").inner_text() == "Saved."
    toast.get_by_role("button").click()
    assert toast.count() == 0


def test_a_log_follows_its_tail_until_the_reader_scrolls_up(guide):
    log = guide.locator("[data-log]").first
    log.evaluate(
        """log => { for (let n = 0; n < 3000; n += 1) {
             const line = document.createElement('div'); line.className = 'log-line';
             line.textContent = 'a line that needs two or three lines of its own where it is shown '.repeat(n % 5) + n;
             log.append(line); } }"""
    )
    at_end = (
        "() => { const log = document.querySelector('[data-log]');"
        " return log.scrollHeight - log.scrollTop - log.clientHeight < 40; }"
    )
    log.evaluate("log => { log.scrollTop = log.scrollHeight; }")
    guide.wait_for_function(at_end)
    log.hover()
    guide.mouse.wheel(0, -2000)
    guide.wait_for_selector("[data-log-view][data-behind]")
    guide.get_by_role("button", name="To the end").first.click()
    guide.wait_for_function(at_end)


def test_a_lost_connection_shows_a_banner_until_it_is_back(guide, complaints):
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    # The bell asks now and then.
    complaints.expect("htmx:sendError")
    complaints.expect("htmx:afterRequest")
    # An answer that arrives now would hide the banner again.
    guide.wait_for_load_state("networkidle")
    guide.context.set_offline(True)
    guide.locator("#offline").wait_for(state="visible")
    guide.context.set_offline(False)
    guide.locator("#offline").wait_for(state="hidden")


ELEMENT = """html => { const box = document.createElement('div'); box.innerHTML = html;
    document.querySelector('main').prepend(box); htmx.process(box); box.dispatchEvent(
    new CustomEvent('htmx:load', {bubbles: true, detail: {elt: box}})); }"""


def toasts(page):
    return page.locator("#toasts .toast p")


def test_a_refusal_with_a_reason_is_shown_in_its_own_words(guide, complaints):
    complaints.expect("409")
    guide.route(
        "**/refused",
        lambda route: route.fulfill(
            status=409, content_type="application/problem+json", body='{"detail": "Port 27015 is taken."}'
        ),
    )
    guide.evaluate("htmx.ajax('POST', '/refused', {swap: 'none'})")
    expect(toasts(guide)).to_have_text("Port 27015 is taken.")


def test_a_page_that_went_away_is_said_in_general_words(guide, complaints):
    complaints.expect("404")
    guide.evaluate("htmx.ajax('POST', '/no-such-thing', {swap: 'none'})")
    expect(toasts(guide)).to_contain_text("no longer exists")


def test_a_poll_rests_while_the_tab_is_hidden_and_catches_up_after(guide):
    asked = []
    guide.route("**/polled", lambda route: (asked.append(1), route.fulfill(body="news", content_type="text/html")))
    guide.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    guide.evaluate(
        ELEMENT, '<p id="polled" hx-get="/polled" hx-trigger="every 100ms, visible-again from:document">old</p>'
    )
    guide.evaluate("new Promise(done => setTimeout(done, 500))")
    assert not asked
    guide.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(guide.locator("#polled")).to_have_text("news")


def test_an_htmx_element_asks_its_question_too(guide):
    guide.route("**/sent", lambda route: route.fulfill(body="done", content_type="text/html"))
    guide.evaluate(ELEMENT, '<button id="sent" hx-post="/sent" data-confirm="Really?">go</button>')
    guide.locator("#sent").click()
    guide.locator("#confirm").get_by_role("button", name="Cancel").click()
    expect(guide.locator("#sent")).to_have_text("go")
    guide.locator("#sent").click()
    guide.locator("#confirm").get_by_role("button", name="Confirm").click()
    expect(guide.locator("#sent")).to_have_text("done")


def test_an_ended_session_leads_to_the_door_and_back(guide):
    guide.context.clear_cookies()
    guide.evaluate("htmx.ajax('GET', '/', {swap: 'none'})")
    guide.wait_for_url("**/accounts/login/?next=%2Fstyleguide")


def test_a_log_shows_each_line_of_its_stream_once_and_stops_at_the_end(guide):
    stream = (
        "event: on\ndata: job:9\n\n"
        'event: line\nid: 1\ndata: {"seq": 1, "stream": "stdout", "line": "first <b>"}\n\n'
        'event: line\nid: 1\ndata: {"seq": 1, "stream": "stdout", "line": "first <b>"}\n\n'
        'event: progress\ndata: {"done": 1, "total": 2}\n\n'
        "event: note\ndata: 7 lines left out\n\n"
        'event: line\nid: 9\ndata: {"seq": 9, "stream": "stderr", "line": "last"}\n\n'
        'event: end\ndata: {"state": "failed"}\n\n'
    )
    guide.route("**/live?*", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    guide.evaluate("document.addEventListener('log:end', event => { window.ended = event.detail.state; })")
    guide.evaluate(
        ELEMENT,
        '<section class="log-view" data-log-view data-stream="job:9"><div class="log-bar">'
        '<span data-log-state data-ended="ended"></span></div><div id="live" class="log" data-log></div></section>',
    )
    expect(guide.locator("#live .log-line")).to_have_text(["first <b>", "7 lines left out", "last"])
    assert guide.evaluate("window.ended") == "failed"
    expect(guide.locator("[data-log-state]").first).to_have_text("ended")


def test_a_refreshed_fragment_leaves_open_what_the_visitor_opened(guide):
    fragment = (
        '<section id="fresh" hx-get="/fresh" hx-trigger="refresh" hx-swap="morph"><details><summary>More</summary>'
        '<p>{words}</p></details><time datetime="2026-01-01T00:00:00+00:00" data-relative>Jan. 1, 2026</time>'
        "</section>"
    )
    guide.route("**/fresh", lambda route: route.fulfill(body=fragment.format(words="new"), content_type="text/html"))
    guide.evaluate(ELEMENT, fragment.format(words="old"))
    guide.locator("#fresh summary").click()
    in_words = guide.locator("#fresh time").inner_text()
    assert in_words != "Jan. 1, 2026"
    guide.evaluate(
        "new MutationObserver(() => { window.flashed = true; }).observe(document.querySelector('#fresh time'),"
        " {childList: true, characterData: true, subtree: true})"
    )
    guide.evaluate("htmx.trigger('#fresh', 'refresh')")
    expect(guide.locator("#fresh p")).to_have_text("new")
    expect(guide.locator("#fresh p")).to_be_visible()
    expect(guide.locator("#fresh time")).to_have_text(in_words)
    assert not guide.evaluate("window.flashed")


def test_a_log_stays_at_its_tail_while_tall_lines_stream_in(guide):
    stream = "event: on\ndata: job:9\n\n" + "".join(
        f'event: line\nid: {n}\ndata: {{"seq": {n}, "line": "{n} {"a line far wider than its box " * (n % 9)}"}}\n\n'
        for n in range(1, 400)
    )
    guide.route(
        "**/live?*",
        lambda route: route.fulfill(body=stream + "event: end\ndata: {}\n\n", content_type="text/event-stream"),
    )
    guide.evaluate(
        ELEMENT,
        '<section class="log-view" id="tall" data-log-view data-stream="job:9">'
        '<div class="log" data-log></div></section>',
    )
    expect(guide.locator("#tall .log-line")).to_have_count(399)
    expect(guide.locator("#tall .log-line").last).to_be_in_viewport()
    expect(guide.locator("#tall")).not_to_have_attribute("data-behind", "")

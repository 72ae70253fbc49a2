"""What the small scripts do, in a real browser."""

from __future__ import annotations

import pytest

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
    ask = guide.get_by_role("button", name="Ask first").first
    ask.click()
    dialog = guide.locator("#confirm")
    assert dialog.get_by_role("heading").inner_text() == "Stop the server?"
    dialog.get_by_role("button", name="Cancel").click()
    assert not dialog.evaluate("each => each.open")
    assert "?" not in guide.url


def test_a_question_answered_with_yes_sends_the_form(guide):
    guide.get_by_role("button", name="Ask first").first.click()
    guide.locator("#confirm").get_by_role("button", name="Stop it").click()
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
             const line = document.createElement('div'); line.className = 'log-line'; line.textContent = 'line ' + n;
             log.append(line); } }"""
    )
    log.evaluate("log => { log.scrollTop = log.scrollHeight / 2; }")
    guide.wait_for_selector("[data-log-view][data-behind]")
    guide.get_by_role("button", name="To the end").first.click()
    guide.wait_for_function(
        "() => { const log = document.querySelector('[data-log]');"
        " return log.scrollHeight - log.scrollTop - log.clientHeight < 40; }"
    )


def test_a_lost_connection_shows_a_banner_until_it_is_back(guide, complaints):
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    guide.context.set_offline(True)
    guide.locator("#offline").wait_for(state="visible")
    guide.context.set_offline(False)
    guide.locator("#offline").wait_for(state="hidden")

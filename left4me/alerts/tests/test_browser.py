"""The page of alerts in a real browser: add a channel, try it, see how it went, let go of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from left4me.alerts import delivery
from left4me.alerts.models import Channel
from left4me.alerts.tests.receiver import Receiver

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Milliseconds of the page's clock, which tests move on: the list is refreshed every 5 s.
PERIOD = 6_000


def test_a_channel_from_the_menu_to_its_end(cast: Any, sign_in: Any, receiver: Receiver, axe: Any) -> None:
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto("/")
    page.locator(".user-menu > summary").click()
    page.get_by_role("link", name="Alerts").click()
    page.get_by_role("heading", name="No alert channels yet").wait_for()

    page.get_by_label("Name").fill("our Discord")
    page.get_by_label("Kind").select_option(label="Discord webhook")
    page.get_by_label("Address").fill("http://10.0.0.1/x")
    page.get_by_label("A job fails").check()
    page.get_by_role("button", name="Add alert channel").click()
    page.get_by_text("This address is not on the public internet.").wait_for()
    axe(page)

    page.get_by_label("Address").fill(receiver.url())
    page.get_by_role("button", name="Add alert channel").click()
    page.get_by_text("added. Send a test to check it").wait_for()
    row = page.get_by_role("row", name="our Discord")
    assert "token-of-the-webhook" not in page.content()

    receiver.plan(500)
    row.get_by_role("button", name="Test our Discord").click()
    page.get_by_text("Sending a test").wait_for()
    delivery.send(now=timezone.now())
    # The list looks by itself.
    page.clock.run_for(PERIOD)
    page.get_by_text("answered with HTTP 500").wait_for()
    axe(page)
    Channel.objects.update(not_before=None)
    delivery.send(now=timezone.now())
    page.clock.run_for(PERIOD)
    page.get_by_text("answered with HTTP 500").wait_for(state="detached")
    assert [body["embeds"][0]["title"] for body in receiver.bodies] == ["Test alert"] * 2

    row.get_by_role("link", name="our Discord").click()
    page.get_by_role("heading", name="Edit channel").wait_for()
    page.get_by_label("A server crashes").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("saved.").wait_for()
    assert "server_crashed" not in Channel.objects.get().events

    row.get_by_role("button", name="Turn off our Discord").click()
    page.get_by_text("turned off").wait_for()
    assert row.get_by_role("button", name="Test our Discord").count() == 0

    row.get_by_role("button", name="Delete our Discord").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="No alert channels yet").wait_for()


def test_what_somebody_types_stays_while_the_list_moves(cast: Any, sign_in: Any, receiver: Receiver) -> None:
    Channel.objects.create(
        user=cast.owner, name="first", kind="webhook", address=receiver.url(), events=["job_failed"]
    )
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto("/accounts/alerts/")
    page.get_by_label("Name").fill("half typed")
    with page.expect_response(lambda answer: answer.url.endswith("/accounts/alerts/")):
        page.clock.run_for(PERIOD)
    assert page.get_by_label("Name").input_value() == "half typed"

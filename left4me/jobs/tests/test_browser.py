"""A job's page as people see it: everything real, from the click to the line in the browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from left4me.jobs.tests.processes import start_web

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def served(page, client, cast, worker, tmp_path, collected_static):
    """The page of an admin's browser at the real web, with a worker behind it."""
    worker()
    web, port = start_web(tmp_path / "web.log", collected_static)
    address = f"http://127.0.0.1:{port}"
    client.force_login(cast.admin)
    page.context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": address}])
    page.goto(address + "/jobs")
    yield page
    web.kill()


def test_a_job_is_asked_for_watched_to_its_end_and_found_again(served, axe):
    served.get_by_role("button", name="Run worker test").click()
    expect(served).to_have_url(re.compile(r"/jobs/\d+$"))
    log = served.get_by_role("log")
    expect(log).to_contain_text("line 3 of 20")
    expect(served.locator("[data-job-progress]")).to_contain_text("lines")
    expect(log).to_contain_text("line 20 of 20")
    # The page itself was not loaded again: the state came to it.
    expect(served.locator(".page-title .badge")).to_have_text("Succeeded")
    expect(served.locator("[data-log-state]")).to_have_text("Finished")
    numbers = log.locator("[data-seq]").evaluate_all("lines => lines.map(line => Number(line.dataset.seq))")
    assert numbers == list(range(1, 22))
    axe(served)
    served.get_by_role("link", name="Activity").first.click()
    expect(served.get_by_role("row", name=re.compile("Worker test.*Succeeded"))).to_be_visible()
    axe(served)


def test_a_running_job_is_cancelled_from_its_page(served, ask, cast):
    job = ask("diagnostic", "diagnostic:1", by=cast.admin, lines=1, sleep=600)
    served.goto(re.sub(r"/jobs.*", job.get_absolute_url(), served.url))
    expect(served.get_by_role("log")).to_contain_text("sleeping 600 s")
    served.get_by_role("button", name="Cancel").click()
    expect(served.locator(".page-title .badge")).to_have_text("Cancelled")
    expect(served.get_by_role("log")).to_contain_text("Cancelled by ada.")
    served.get_by_role("button", name="Retry").click()
    expect(served.locator(".page-title .badge")).to_have_text("In progress")

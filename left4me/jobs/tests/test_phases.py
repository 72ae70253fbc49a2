"""Phases of jobs in the reader's language: in the page, and in the words that the script of the page gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from playwright.sync_api import expect

from left4me.jobs import phases
from left4me.jobs.models import Job

SOURCES = ["left4me/jobs", "overlays", "servers/lifecycle", "servers/hosts", "servers/gamehost"]


def reported() -> set[str]:
    """The phases that the sources report, with %s for a name."""
    found = set()
    for folder in SOURCES:
        for source in Path(settings.BASE_DIR, folder).rglob("*.py"):
            if "tests" not in source.parts:
                found |= set(re.findall(r'(?:phase=|_report\()f?"([^"]+)"', source.read_text()))
    return {re.sub(r"“\{[^}]*\}”", "%s", phase) for phase in found}


def test_every_phase_that_is_reported_has_words():
    # The copy of an overlay reports what it does with the overlay's name behind it.
    named = {phase for phase in phases.PHASES if phase.endswith(" %s")}
    lacking = {phase for phase in reported() - set(phases.PHASES) if f"{phase} %s" not in named}
    assert lacking == {"{phase} %s"}


@pytest.mark.parametrize(
    ("said", "german"),
    [
        ("loading the map", "Map wird geladen"),
        ("fetching “Maps of “Anna””", "Wird geholt: “Maps of “Anna””"),
        ("unheard of", "unheard of"),
    ],
)
def test_a_phase_is_said_in_german(said: str, german: str):
    with translation.override("de"):
        assert phases.phase(said) == german


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_bar_of_a_german_page_stays_german_while_it_moves(cast, sign_in):
    job = Job.objects.create(operation="diagnostic", resource="diagnostic", host="local", user=cast.owner)
    Job.objects.update(progress={"phase": "starting", "done": 0, "total": 2, "unit": ""})
    page = sign_in(cast.owner)
    page.set_extra_http_headers({"Accept-Language": "de"})
    page.goto(job.get_absolute_url())
    bar = page.locator("[data-job-progress]")
    expect(bar).to_contain_text("Startet")
    for phase, words in (("loading the map", "Map wird geladen"), ("fetching “Maps”", "Wird geholt: “Maps”")):
        detail = {"phase": phase, "done": 1_200_000, "total": 3_400_000, "unit": "bytes"}
        page.evaluate("detail => document.dispatchEvent(new CustomEvent('log:progress', {detail}))", detail)
        expect(bar).to_contain_text(words)
    expect(bar).to_contain_text("1,2 MB / 3,4 MB")

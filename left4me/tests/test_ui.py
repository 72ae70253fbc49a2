from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django import forms
from django.template import Context, Template
from django.utils import timezone, translation

from left4me.site.templatetags import ui


class Sample(forms.Form):
    name = forms.CharField(help_text="Seen by players.")
    note = forms.CharField(required=False)
    sure = forms.BooleanField()


def render(text: str, **context: object) -> str:
    return Template(text).render(Context(context))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.04, "0.0 s"), (42, "42 s"), (201, "3 min 21 s"), (3900, "1 h 5 min"), (90000, "1 day 1 h")],
)
def test_a_duration_reads_in_its_two_largest_units(seconds, words):
    assert ui.elapsed(seconds) == words


def test_a_duration_may_be_a_timedelta():
    assert ui.elapsed(timedelta(days=3, hours=2)) == "3 days 2 h"


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (202_762_857, "203 MB"), (9_710_287_462, "9.7 GB")],
)
def test_a_size_reads_in_its_unit(size, words):
    assert ui.in_bytes(size) == words
    with translation.override("de"):
        assert ui.in_bytes(size) == words.replace(".", ",")


def test_a_moment_carries_its_exact_time_for_the_browser():
    moment = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    with time_machine.travel(moment + timedelta(minutes=5, seconds=10), tick=False):
        assert ui.relative(moment) == (
            '<time datetime="2026-11-21T20:00:00+00:00" title="21 Nov 2026, 20:00:00 UTC" data-relative>'
            "5 min. ago</time>"
        )
    with timezone.override("Europe/Berlin"):
        assert ">21 Nov 2026, 21:00<" in ui.absolute(moment) and "21:00:00 CET" in ui.absolute(moment)
        assert ">22 Nov 2026<" in ui.day(moment + timedelta(hours=3))
    assert (ui.relative(None), ui.absolute(None), ui.day(None), ui.since(None)) == ("–",) * 4


def test_an_icon_beside_a_text_is_hidden_from_screen_readers():
    assert 'aria-hidden="true"' in ui.icon("play")
    assert 'role="img" aria-label="Running"' in ui.icon("play", label="Running")


def test_the_same_word_has_its_own_tone_for_servers_and_jobs():
    assert 'data-tone="ok"' in ui.badge("running")
    assert 'data-tone="busy"' in ui.badge("running", kind="job")


def test_a_badge_escapes_what_it_shows():
    assert "<b>" not in ui.badge("x", label="<b>")


def test_a_field_ties_its_help_and_errors_to_the_control():
    html = render("{% field form.name %}", form=Sample({"name": ""}))
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'id="id_name_error"' in html
    assert 'id="id_name_helptext"' in html
    assert 'aria-invalid="true"' in html


def test_only_a_field_that_may_stay_empty_says_so():
    form = Sample()
    assert "optional" in render("{% field form.note %}", form=form)
    assert "optional" not in render("{% field form.name %}", form=form)


def test_a_checkbox_stands_before_its_words():
    html = render("{% field form.sure %}", form=Sample())
    assert html.index("<input") < html.index("Sure")


def test_attributes_of_a_field_reach_the_control():
    html = render('{% field form.name mono=True hx_get="/x" %}', form=Sample())
    assert 'class="mono"' in html
    assert 'hx-get="/x"' in html


def test_a_missing_part_of_the_application_has_no_address():
    assert ui.url_or_none("nowhere:to-be-found") is None
    assert ui.url_or_none("dashboard") == "/"

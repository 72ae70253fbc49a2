"""Parts of pages that are rendered once for all who see the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.template import engines
from django.test import RequestFactory
from django.utils import translation

from left4me.core.web import fragments


@dataclass(frozen=True)
class Shown:
    name: str


@pytest.fixture(autouse=True)
def rendered(monkeypatch):
    """The values that were rendered, in order, by a template of this test."""
    values = []
    template = engines["django"].from_string(
        '{% load i18n %}{% translate "Servers" %} {{ row.name }} <form>{% csrf_token %}</form>'
    )

    def render(_name, context):
        values.append(context["row"])
        return template.render(context)

    monkeypatch.setattr(fragments, "render_to_string", render)
    fragments._render_kept.cache_clear()
    yield values
    fragments._render_kept.cache_clear()


def visit():
    return RequestFactory().get("/")


def test_equal_values_are_rendered_once(rendered):
    for name in ("one", "two", "one"):
        assert f" {name} " in fragments.render(visit(), "row.html", "row", Shown(name))
    assert rendered == [Shown("one"), Shown("two")]


def test_each_language_has_its_own(rendered):
    assert "Servers" in fragments.render(visit(), "row.html", "row", Shown("one"))
    with translation.override("de"):
        assert "Server one" in fragments.render(visit(), "row.html", "row", Shown("one"))


def test_each_visitor_gets_a_token_of_their_own_and_the_cookie_for_it(rendered):
    first, second = visit(), visit()
    pages = [fragments.render(request, "row.html", "row", Shown("one")) for request in (first, second)]
    assert len(rendered) == 1
    tokens = [page.partition('value="')[2].partition('"')[0] for page in pages]
    assert len(set(tokens)) == 2
    assert all(len(token) == 64 for token in tokens)
    assert first.META["CSRF_COOKIE_NEEDS_UPDATE"]


def test_what_reads_the_clock_is_rendered_each_time(rendered):
    for _ in range(2):
        fragments.render(visit(), "row.html", "row", Shown("one"), keep=False)
    assert len(rendered) == 2


def test_names_are_escaped():
    assert "&lt;b&gt;" in fragments.render(visit(), "row.html", "row", Shown("<b>"))


def test_a_page_has_one_token_for_all_its_parts(rendered):
    request = visit()
    pages = [fragments.render(request, "row.html", "row", Shown(name)) for name in ("one", "two")]
    assert len({page.partition('value="')[2].partition('"')[0] for page in pages}) == 1


def test_values_given_by_name_are_one_value(rendered):
    for name in ("one", "two", "one"):
        values = fragments.Values((("name", name), ("number", 1)))
        assert f" {name} " in fragments.render(visit(), "row.html", "row", values)
    assert [row["name"] for row in rendered] == ["one", "two"]


def test_so_many_parts_are_kept():
    assert fragments._render_kept.cache_info().maxsize == 2000

import pytest
from django.contrib.messages import get_messages, success
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpResponse, HttpResponseRedirect
from django.test import Client
from django_htmx.middleware import HtmxMiddleware

from accounts.models import User
from left4me.core.web import content_policy, fragments
from left4me.site import error_pages
from left4me.site.middleware.htmx import HtmxAnswers
from servers.tests.factories import make_blueprint

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    user = User.objects.create_user("admin", is_admin=True)
    client.force_login(user)
    return user


@pytest.fixture
def anna(client):
    user = User.objects.create_user("anna")
    client.force_login(user)
    return user


def test_the_dashboard_names_the_visitor_and_marks_where_they_are(client, anna):
    page = client.get("/").content.decode()
    assert "anna" in page
    assert 'aria-current="page"' in page
    assert "Simulated game" in page


def test_places_for_admins_show_for_admins_only(client, anna):
    assert "/styleguide" not in client.get("/").content.decode()
    anna.is_admin = True
    anna.save()
    assert "/styleguide" in client.get("/").content.decode()


def test_the_frame_is_rendered_once_for_those_who_see_the_same(cast, client, monkeypatch):
    rendered = []
    render = fragments.render_to_string
    monkeypatch.setattr(
        fragments, "render_to_string", lambda name, context: rendered.append(name) or render(name, context)
    )
    fragments._render_kept.cache_clear()
    pages = []
    for visitor in (cast.owner, cast.operator, cast.admin):
        client.force_login(visitor)
        pages.append(client.get("/jobs").content.decode())
    assert rendered.count("ui/places.html") == 2
    for page, visitor in zip(pages, (cast.owner, cast.operator, cast.admin), strict=True):
        assert f'<span class="user-menu-name">{visitor.username}</span>' in page
        assert ('href="/audit"' in page) is visitor.is_admin


def test_the_style_guide_shows_itself_to_admins(client, admin):
    assert client.get("/styleguide").status_code == 200


def test_the_style_guide_is_refused_to_others(client, anna):
    response = client.get("/styleguide")
    assert response.status_code == 403
    assert "Access denied" in response.content.decode()


def test_the_chosen_scheme_arrives_with_the_page(client, anna):
    response = client.post("/theme", {"theme": "dark"}, headers={"referer": "http://testserver/jobs?state=failed"})
    assert response["Location"] == "/jobs?state=failed"
    assert 'data-theme="dark"' in client.get("/").content.decode()
    client.post("/theme", {"theme": "system"})
    assert "data-theme=" not in client.get("/").content.decode().split(">")[1]


def test_choosing_a_scheme_never_leads_to_another_site(client):
    assert client.post("/theme", {"theme": "dark"}, headers={"referer": "https://example.org/"})["Location"] == "/"


def test_a_missing_page_has_the_look_of_the_house(client, anna):
    response = client.get("/no-such-page")
    assert response.status_code == 404
    assert "Page not found" in response.content.decode()


def test_a_stale_form_says_what_to_do(anna):
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/accounts/login/", {"username": "anna"})
    assert response.status_code == 403
    assert "form has expired" in response.content.decode()


@pytest.mark.parametrize("view", [error_pages.server_error, error_pages.bad_request, error_pages.page_not_found])
def test_error_pages_need_neither_database_nor_session(view, rf, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert "left4me" in view(rf.get("/")).content.decode()


def test_too_many_requests_say_how_long_to_wait(rf):
    response = error_pages.too_many_requests(rf.get("/"), seconds=41.2)
    assert response.status_code == 429
    assert response["Retry-After"] == "42"


def htmx_request(rf, **headers):
    request = rf.get("/servers/1/row", headers={"HX-Request": "true", **headers})
    request.session = {}
    request._messages = FallbackStorage(request)
    HtmxMiddleware(lambda r: None)(request)
    return request


def test_messages_travel_with_a_fragment_as_toasts(rf):
    request = htmx_request(rf)
    success(request, "Saved.")
    response = HtmxAnswers(lambda _: HttpResponse("row"))(request)
    assert response["HX-Trigger"] == '{"toast": {"messages": [{"text": "Saved.", "tone": "ok"}]}}'


def test_messages_wait_for_the_page_behind_a_redirect(rf):
    request = htmx_request(rf)
    success(request, "Saved.")
    response = HtmxAnswers(lambda _: HttpResponseRedirect("/servers"))(request)
    assert "HX-Trigger" not in response
    assert len(get_messages(request)) == 1


def test_a_fragment_asked_for_after_the_session_ended_leads_to_the_login_page(client):
    response = client.get("/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/servers"})
    assert response["HX-Redirect"] == "/accounts/login/?next=%2Fservers"


def test_pages_are_compressed_and_downloads_are_not(cast, client):
    client.force_login(cast.owner)
    page = client.get("/servers/new", headers={"Accept-Encoding": "gzip"})
    assert page["Content-Encoding"] == "gzip"
    assert len(page.content) < 12_000
    blueprint = make_blueprint(cast.owner, config="sv_alltalk 1\n" * 100)
    export = client.get(f"/blueprints/{blueprint.pk}/export", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in export


@pytest.mark.parametrize("address", ["/accounts/login/", "/servers", "/admin/", "/nowhere"])
def test_pages_load_from_their_own_origin_run_nothing_inline_and_are_not_framed(cast, client, address):
    client.force_login(cast.admin)
    if address == "/accounts/login/":
        client.logout()
    response = client.get(address)
    policy = dict(part.split(maxsplit=1) for part in response["Content-Security-Policy"].split("; "))
    pictures = policy.pop("img-src").split()
    assert {*policy.values()} == {"'self'", "'none'"}
    assert (policy["default-src"], policy["script-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert pictures == ["'self'", "data:", *content_policy.STEAM_IMAGE_HOSTS]
    assert response["X-Frame-Options"] == "DENY"

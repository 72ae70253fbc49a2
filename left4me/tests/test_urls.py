"""What holds for every address: nobody gets in without signing in, nothing is changed without a CSRF token, and
nobody finds what is somebody else's."""

import pytest
from django.conf import settings
from django.shortcuts import resolve_url
from django.test import Client
from django.utils import timezone

from left4me.testing.routes import Route, all_routes
from left4me.tests.world import furnish

# Each with the reason why anybody may ask for it.
PUBLIC = {
    "manifest": "browsers read it without a session; it names the app and its icons",
    "service_worker": "browsers fetch it without a session; it is the same for everybody",
    "offline": "the service worker keeps it for everybody; it says that there is no network",
    "health": "load balancers and installers ask it; it says nothing but ok",
    "ready": "the same; it names no secrets",
    "metrics": "programs of this machine and those with its token; test_metrics holds that",
    "theme": "light or dark is chosen on the login page too; it sets a cookie",
    "accounts:language": "it is chosen on the login page too; it sets a cookie",
    "accounts:login": "the door",
    "accounts:signup": "the door; says no where sign-up is not open",
    "accounts:invitation": "its secret is the permission",
    "accounts:password_link": "its secret is the permission",
    "simulated_steam": "with the simulated game only: Steam's own sign-in page",
    "servers:join": "its secret is the permission; it names workshop items, which are public",
    "status_pages:page": "it is off until its owner turns it on; test_public holds what it shows",
    "status_pages:servers": "the part of the same that changes",
    "status_pages:json": "the same for programs",
    "status_pages:join": "the address of a game that its page shows",
    "api:openapi-json": "the source is public; programs read it before they have a token",
    "api:openapi-view": "the same for people",
    "api:api-root": "nothing is there: 404",
}
ROUTES = all_routes()
# Whose objects are private: a stranger hears the same as if they were not there.
PRIVATE = ("servers", "blueprints", "overlays", "jobs", "alerts")
METHODS = ("get", "post", "put", "patch", "delete")


def is_api(route: Route) -> bool:
    return route.name.startswith("api:")


def leads_to_login(answer) -> bool:
    return answer.status_code == 302 and answer["Location"].partition("?")[0] == resolve_url(settings.LOGIN_URL)


def test_the_walk_finds_what_is_there():
    names = {route.name for route in ROUTES}
    assert {"dashboard", "accounts:login", "accounts:revoke_token", "api:me", "admin:index"} <= names
    assert len(ROUTES) > 30


def test_every_public_address_exists():
    assert set(PUBLIC) <= {route.name for route in ROUTES}


@pytest.mark.parametrize("route", [r for r in ROUTES if not is_api(r) and r.name not in PUBLIC], ids=str)
def test_anonymous_gets_the_login_page(route: Route, db):
    for method in ("get", "post"):
        assert leads_to_login(getattr(Client(), method)(route.path())), f"{method} {route.path()}"


@pytest.mark.parametrize("route", [r for r in ROUTES if is_api(r) and r.name not in PUBLIC], ids=str)
def test_anonymous_gets_401_from_the_api(route: Route, db):
    answers = {method: getattr(Client(), method)(route.path()).status_code for method in METHODS}
    assert set(answers.values()) <= {401, 405}, answers
    assert 401 in answers.values()


# Sites ask Steam, without a session; it changes nothing.
@pytest.mark.parametrize("route", [r for r in ROUTES if r.name != "simulated_steam"], ids=str)
def test_nothing_is_changed_without_the_csrf_token(route: Route, cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.admin)
    for method in METHODS[1:]:
        answer = getattr(client, method)(route.path())
        assert answer.status_code in (403, 404, 405), f"{method} {route.path()} answered {answer.status_code}"
        if answer.status_code == 404:
            assert route.name == "api:api-root", f"{method} {route.path()} looked before it asked for the token"


def of_objects() -> list[Route]:
    return [route for route in ROUTES if route.kind in PRIVATE and not route.name.startswith("admin:")]


@pytest.mark.parametrize("route", of_objects(), ids=str)
def test_a_stranger_does_not_find_what_is_somebody_else_s(route: Route, cast, client):
    things = furnish(cast.owner, cast.viewer, timezone.now())
    client.force_login(cast.stranger)
    for method in METHODS:
        answer = getattr(client, method)(route.path(things[route.kind]), data={}, content_type="application/json")
        # 422 says that the request makes no sense, before anything was looked up.
        assert answer.status_code in ((404, 405, 422) if is_api(route) else (404, 405)), f"{method} {route.path()}"


def test_the_owner_finds_it(cast, client):
    things = furnish(cast.owner, cast.viewer, timezone.now())
    client.force_login(cast.owner)
    for route in of_objects():
        if route.pattern.endswith(">") and route.pattern.count("<") == 1:
            assert client.get(route.path(things[route.kind])).status_code in (200, 405), str(route)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.pattern.partition("<")[2].startswith("id:")], ids=str)
def test_an_id_that_no_database_holds_is_not_found(route: Route, cast, client):
    client.force_login(cast.admin)
    for method in METHODS:
        answer = getattr(client, method)(route.path(2**63), data={}, content_type="application/json")
        assert answer.status_code == 404, f"{method} {route.path(2**63)} answered {answer.status_code}"

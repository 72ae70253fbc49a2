"""What holds for every address: nobody gets in without signing in, nothing is changed without a CSRF token, and
nobody finds what is somebody else's."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

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
    "accounts:offer_any_passkey": "what to sign to come in with a passkey; it names no user",
    "accounts:offer_own_passkey": "the same after the password, which leads to the login page without one",
    "accounts:passkey_sign_in": "the passkey is the permission",
    "accounts:door": "the way to another provider's sign-in page",
    "accounts:door_return": "the way back, with the provider's answer",
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


def by_part(routes: Iterable[Route]) -> Any:
    """Parametrizes a test with the routes of each part of the site: a test for each route costs far more to set up."""
    parts: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        words = route.pattern.strip("/").split("/")
        parts["/".join(words[: 3 if is_api(route) else 1])].append(route)
    return pytest.mark.parametrize("routes", parts.values(), ids=[part or "root" for part in parts])


def answers(client: Client, route: Route, methods: Sequence[str] = METHODS, *, first: object = None) -> dict[str, Any]:
    """What the client gets for each method, with a body that is no form."""
    sent = {"data": {}, "content_type": "application/json"}
    return {method: getattr(client, method)(route.path(first), **sent) for method in methods}


@by_part(r for r in ROUTES if not is_api(r) and r.name not in PUBLIC)
def test_anonymous_gets_the_login_page(routes: list[Route], db):
    wrong = []
    for route in routes:
        for method in ("get", "post"):
            if not leads_to_login(answer := getattr(Client(), method)(route.path())):
                wrong.append(f"{method} {route.path()}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@by_part(r for r in ROUTES if is_api(r) and r.name not in PUBLIC)
def test_anonymous_gets_401_from_the_api(routes: list[Route], db):
    wrong = []
    for route in routes:
        got = {method: getattr(Client(), method)(route.path()).status_code for method in METHODS}
        if not {401} <= set(got.values()) <= {401, 405}:
            wrong.append(f"{route.path()}: {got}")
    assert not wrong, "\n".join(wrong)


# Sites ask Steam, without a session; it changes nothing.
@by_part(r for r in ROUTES if r.name != "simulated_steam")
def test_nothing_is_changed_without_the_csrf_token(routes: list[Route], cast, redis_client):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.admin)
    wrong = []
    for route in routes:
        for method in METHODS[1:]:
            status = getattr(client, method)(route.path()).status_code
            # 404 elsewhere would say that it looked before it asked for the token.
            if status not in ((403, 404, 405) if route.name == "api:api-root" else (403, 405)):
                wrong.append(f"{method} {route.path()}: {status}")
    assert not wrong, "\n".join(wrong)


def of_objects() -> list[Route]:
    return [route for route in ROUTES if route.kind in PRIVATE and not route.name.startswith("admin:")]


@by_part(of_objects())
def test_a_stranger_does_not_find_what_is_somebody_else_s(routes: list[Route], cast, client, redis_client):
    things = furnish(cast.owner, cast.viewer, timezone.now())
    client.force_login(cast.stranger)
    wrong = []
    for route in routes:
        for method, answer in answers(client, route, first=things[route.kind]).items():
            # 422 says that the request makes no sense, before anything was looked up.
            if answer.status_code not in ((404, 405, 422) if is_api(route) else (404, 405)):
                wrong.append(f"{method} {route.path()}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_the_owner_finds_it(cast, client):
    things = furnish(cast.owner, cast.viewer, timezone.now())
    client.force_login(cast.owner)
    for route in of_objects():
        if route.pattern.endswith(">") and route.pattern.count("<") == 1:
            assert client.get(route.path(things[route.kind])).status_code in (200, 405), str(route)


@by_part(r for r in ROUTES if r.pattern.partition("<")[2].startswith("id:"))
def test_an_id_that_no_database_holds_is_not_found(routes: list[Route], cast, client, redis_client):
    client.force_login(cast.admin)
    wrong = []
    for route in routes:
        for method, answer in answers(client, route, first=2**63).items():
            if answer.status_code != 404:
                wrong.append(f"{method} {route.path(2**63)}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)

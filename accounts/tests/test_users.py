"""Users and what belongs to them, below the pages: rows, rights, browsers, limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
import segno
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts import actions, api, browsers, filters, permissions, throttle
from accounts.factors import actions as factor_actions
from accounts.factors import apps, confirmation, recovery_codes
from accounts.models import (
    ApiToken,
    AuthenticatorApp,
    Identity,
    OneTimeLink,
    RecoveryCode,
    SavedFilter,
    Session,
    SteamSource,
    User,
)
from accounts.models.links import Purpose
from accounts.sessions import SessionStore
from accounts.tests.factories import bearer, make_passkey, make_token
from accounts.views import doors, steam
from accounts.views import passkeys as passkey_views
from left4me.core.redis.rate_limit import RateLimited

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


# --- rows ---


def test_rows_say_what_they_are(anna):
    assert str(anna) == "anna"
    assert str(Session(user=anna)) == f"session of {anna.pk}"
    assert str(Session()) == "session of nobody"
    assert str(ApiToken(name="bot", hint="l4m_abcd")) == "bot (l4m_abcd…)"
    assert str(OneTimeLink(purpose=Purpose.INVITATION, note="Zoey")) == "invitation Zoey"
    assert str(OneTimeLink(purpose=Purpose.PASSWORD)) == "new password"
    assert str(make_passkey(anna, name="Phone")) == "Phone"
    assert str(RecoveryCode(user=anna)) == f"recovery code of {anna.pk}"
    assert str(Identity(door="steam", label="7656")) == "Steam: 7656"
    assert str(SavedFilter(name="Running")) == "Running"


@pytest.mark.parametrize(
    ("is_active", "is_admin", "expected"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_django_s_permissions_are_those_of_active_admins(anna, is_active: bool, is_admin: bool, expected: bool):
    anna.is_active, anna.is_admin = is_active, is_admin
    assert anna.has_perm("x") is anna.has_module_perms("x") is permissions.can_administer(anna) is expected
    assert anna.is_staff is is_admin


def test_a_user_without_admin_rights_is_a_copy_that_is_never_stored(ada, anna):
    limited = ada.without_admin_rights()
    assert (limited.is_admin, limited.pk, ada.is_admin) == (False, ada.pk, True)
    with pytest.raises(ValueError, match="must not be stored"):
        limited.save()
    assert anna.without_admin_rights() is anna


@pytest.mark.parametrize(
    ("source", "is_trusted"), [(SteamSource.STEAM, True), (SteamSource.ADMIN, True), (SteamSource.USER, False)]
)
def test_a_steam_id_is_trusted_by_who_says_so(source: SteamSource, is_trusted: bool):
    assert User(steam_id=7, steam_source=source).trusted_steam_id == (7 if is_trusted else None)


def test_users_are_found_in_any_case(db):
    user = User.objects.create_user("Jörg")
    assert User.objects.get_by_natural_key("JÖRG") == user
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(None)


# --- rights ---


def test_who_is_signed_in_and_who_administers(anna, ada, rf: RequestFactory):
    request = rf.get("/")
    request.user = AnonymousUser()
    with pytest.raises(PermissionDenied, match="Sign in first"):
        permissions.signed_in(request)
    request.user = anna
    assert permissions.signed_in(request) == anna
    with pytest.raises(PermissionDenied, match="Only admins"):
        permissions.administrator(request)
    request.user = ada
    assert permissions.administrator(request) == ada


def test_a_user_to_share_with_is_found_by_name_while_few_names_are_wrong(anna, stan, ada, monkeypatch):
    monkeypatch.setattr(permissions, "UNKNOWN_NAMES", throttle.Limit("unknown-test", 2, 60))
    for _ in range(5):
        assert permissions.user_named(" STAN ", by=anna) == stan
    User.objects.create_user("gone", is_active=False)
    assert permissions.user_named("gone", by=anna) is None
    assert permissions.user_named("st\0an", by=anna) is None
    with pytest.raises(RateLimited):
        permissions.user_named("stan", by=anna)
    assert permissions.user_named("", by=stan) is None
    for _ in range(5):
        assert permissions.user_named("nobody", by=ada) is None
    assert permissions.user_named("stan", by=ada) == stan


def test_nobody_guesses_tokens_without_end(client, db, monkeypatch):
    monkeypatch.setattr("accounts.api.REFUSED", throttle.Limit("refused-test", 2, 60))
    answers = [client.get("/api/v1/me", headers=bearer(f"l4m_{n}")).status_code for n in range(3)]
    assert answers == [401, 401, 429]


def test_sessions_count_their_requests_to_the_api_too(anna_client, monkeypatch):
    monkeypatch.setattr("accounts.api.REQUESTS", throttle.Limit("api-session-test", 2, 60))
    assert [anna_client.get("/api/v1/me").status_code for _ in range(3)] == [200, 200, 429]


def test_a_write_of_a_session_needs_the_token_of_the_page(anna):
    client = Client(enforce_csrf_checks=True)
    client.force_login(anna)
    answer = client.post("/api/v1/jobs/1/cancel")
    assert (answer.status_code, answer.json()["title"]) == (403, "CSRF token missing or invalid")


# --- sessions ---


def test_a_session_that_was_ended_is_not_made_again(anna, anna_client):
    store = SessionStore(anna_client.cookies["sessionid"].value)
    assert store.get("_auth_user_id") == str(anna.pk)
    assert store.row is not None and store.row.user == anna
    assert store.exists(store.session_key)
    Session.objects.all().delete()
    assert not store.exists(store.session_key)
    with pytest.raises(UpdateError):
        store.save()
    assert not Session.objects.exists()


def test_a_new_session_has_a_row_and_is_deleted(db):
    store = SessionStore()
    store["a"] = 1
    store.save()
    key = store.session_key
    assert Session.objects.count() == 1
    assert SessionStore(key)["a"] == 1
    store.delete()
    assert not Session.objects.exists()
    SessionStore().delete()
    again = SessionStore(key)
    assert again.load() == {}
    assert (again.row, again.session_key) == (None, None)


def test_a_key_that_is_taken_is_not_used_twice(db, monkeypatch):
    first = SessionStore()
    first.create()
    keys = iter([first.session_key, "n" * 32])
    monkeypatch.setattr(SessionStore, "_get_new_session_key", lambda self: next(keys))
    second = SessionStore()
    second.create()
    assert second.session_key == "n" * 32
    assert second.modified
    assert Session.objects.count() == 2


def test_expired_sessions_are_cleared(db):
    for seconds in (-1, 60):
        Session.objects.create(digest=str(seconds), data="", expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
    SessionStore.clear_expired()
    assert [each.digest for each in Session.objects.all()] == ["60"]


def test_a_visit_is_recorded_after_five_minutes(anna):
    row = Session.objects.create(digest="x", data="", expires_at=NOW, last_seen_at=NOW, user=anna)
    row.was_seen(address="192.0.2.1", now=NOW + timedelta(minutes=4, seconds=59))
    assert Session.objects.get().last_seen_at == NOW
    row.was_seen(address="", now=NOW + timedelta(minutes=5))
    stored = Session.objects.get()
    assert (stored.last_seen_at, stored.address) == (NOW + timedelta(minutes=5), None)
    row.was_seen(address="192.0.2.1", now=NOW + timedelta(minutes=9))
    assert Session.objects.get().address is None


@pytest.mark.parametrize(
    ("minutes", "is_first"), [(None, True), (1, False), (4, False), (59, False), (60, True), (61, True)]
)
def test_the_first_use_of_a_token_in_an_hour_is_told(anna, minutes: int | None, is_first: bool):
    make_token(anna)
    token = ApiToken.objects.get()
    if minutes is not None:
        assert token.was_used(NOW)
    assert token.was_used(NOW + timedelta(minutes=minutes or 0)) is is_first
    if minutes is not None and minutes < 5:
        assert ApiToken.objects.get().last_used_at == NOW


def test_of_two_requests_at_once_one_records_the_use_of_a_token(anna):
    make_token(anna)
    one, other = ApiToken.objects.get(), ApiToken.objects.get()
    assert (one.was_used(NOW), other.was_used(NOW)) == (True, False)
    later = NOW + timedelta(hours=2)
    one, other = ApiToken.objects.get(), ApiToken.objects.get()
    assert (one.was_used(later), other.was_used(later)) == (True, False)


def test_the_hint_of_a_token_is_its_beginning(anna):
    key = make_token(anna)
    assert ApiToken.objects.get().hint == key[:8]


def test_the_longest_life_of_a_link_for_a_password(anna, ada, rf: RequestFactory):
    with time_machine.travel(NOW, tick=False):
        actions.make_password_link(user=anna, by=ada, request=rf.post("/"))
    assert OneTimeLink.objects.get().expires_at == NOW + timedelta(days=2)


# --- browsers ---


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0", "Edge on Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 OPR/1", "Opera on Windows"),
        ("Mozilla/5.0 (X11; CrOS x86_64) AppleWebKit Chrome/120.0 Safari/537.36", "Chrome on ChromeOS"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit Chrome/120.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17 like Mac OS X) Version/17 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 17 like Mac OS X) CriOS/120 Safari/604.1", "Chrome on iPad"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) FxiOS/120", "Firefox on macOS"),
        ("curl/8.5", "curl"),
        ("Something (Linux)", "Linux"),
        ("", "Unknown device"),
    ],
)
def test_browsers_have_names_that_their_users_know(header: str, name: str):
    assert browsers.name_of(header) == name


def test_a_browser_is_known_by_its_signed_mark_for_one_name(rf: RequestFactory, settings):
    settings.LEFT4ME_BEHIND_TLS = True
    response = HttpResponse()
    browsers.remember(rf.get("/"), response, "Anna")
    cookie = response.cookies["left4me_device"]
    assert cookie["httponly"] and cookie["secure"] and cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 365 * 24 * 3600
    request = rf.get("/")
    request.COOKIES["left4me_device"] = cookie.value
    mark = browsers.known_mark(request, "anna")
    assert len(mark) == 16
    assert browsers.known_mark(request, "stan") == ""
    again = HttpResponse()
    browsers.remember(request, again, "ANNA")
    request.COOKIES["left4me_device"] = again.cookies["left4me_device"].value
    assert browsers.known_mark(request, "anna") == mark, "the mark stays"
    other = HttpResponse()
    browsers.remember(request, other, "stan")
    request.COOKIES["left4me_device"] = other.cookies["left4me_device"].value
    assert browsers.known_mark(request, "stan") != mark


@pytest.mark.parametrize("value", ["", "x", "x:y:z"])
def test_a_cookie_that_was_not_written_here_is_none(rf: RequestFactory, value: str):
    request = rf.get("/")
    request.COOKIES["left4me_device"] = value
    assert browsers.known_mark(request, "anna") == ""


def test_a_signed_cookie_counts_for_its_seconds_and_is_removed(rf: RequestFactory):
    cookie = browsers.SignedCookie(name="c", salt="s", seconds=60, same_site="Strict")
    with time_machine.travel(NOW, tick=False) as clock:
        response = HttpResponse()
        cookie.put(response, {"a": 1})
        assert (response.cookies["c"]["max-age"], response.cookies["c"]["samesite"]) == (60, "Strict")
        assert not response.cookies["c"]["secure"]
        request = rf.get("/")
        request.COOKIES["c"] = response.cookies["c"].value
        clock.shift(60)
        assert cookie.read(request) == {"a": 1}
        assert browsers.SignedCookie(name="c", salt="other", seconds=60).read(request) is None
        clock.shift(1)
        assert cookie.read(request) is None
    cookie.remove(response)
    assert response.cookies["c"].value == "" and response.cookies["c"]["samesite"] == "Strict"


# --- factors ---


def test_a_confirmation_lasts_a_quarter_of_an_hour(rf: RequestFactory):
    request = rf.get("/")
    request.session = {}
    assert not confirmation.is_recent(request.session)
    with time_machine.travel(NOW, tick=False) as clock:
        confirmation.was_given(request.session)
        assert confirmation.ask(request, back="/x") is None
        clock.shift(15 * 60)
        assert confirmation.is_recent(request.session)
        clock.shift(1)
        assert not confirmation.is_recent(request.session)
        clock.shift(-15 * 60 - 2)
        assert not confirmation.is_recent(request.session), "from the future"
    asked = confirmation.ask(request, back="/a?b")
    assert asked is not None and asked["Location"] == "/accounts/confirm/?next=%2Fa%3Fb"


def test_recovery_codes_are_ten_different_ones_in_groups(anna):
    codes = recovery_codes.renew(anna)
    assert len(set(codes)) == 10
    assert all([len(group) for group in code.split("-")] == [4] * 4 for code in codes)
    assert not set("".join(codes)) & set("01ilo")
    assert recovery_codes.accept(anna, codes[0].replace("-", ""), now=NOW, address="")
    assert not recovery_codes.accept(anna, codes[0].replace("-", ""), now=NOW, address="192.0.2.1")
    used = anna.recovery_codes.get(used_at=NOW)
    assert used.used_from is None
    assert anna.recovery_codes.unused().count() == 9


def test_what_an_app_scans_names_the_site_and_the_user():
    secret = apps.new_secret()
    assert len(secret) == 32
    address = apps.address(secret, username="anna", site="games.example")
    assert address.startswith("otpauth://totp/left4me%20games.example:anna?secret=")
    picture = unquote(apps.picture(address))
    assert picture.startswith("data:image/svg+xml")
    # With a light margin on each side, so that it can be scanned on a dark page too.
    size = 4 * (segno.make(address, error="m").symbol_size(border=0)[0] + 2 * 3)
    assert f"width='{size}'" in picture.replace('"', "'") and "#fff" in picture


@pytest.mark.parametrize(("seconds", "expected"), [(0, True), (9, False), (10, True)])
def test_codes_that_nothing_counts_are_tried_every_ten_seconds(anna, seconds: int, expected: bool):
    assert not apps.take_turn(anna, NOW), "there is no app"
    AuthenticatorApp.objects.create(user=anna, secret_sealed="x")
    if seconds:
        assert apps.take_turn(anna, NOW)
    assert apps.take_turn(anna, NOW + timedelta(seconds=seconds)) is expected


# --- limits ---


@pytest.mark.parametrize(
    ("limit", "most", "minutes"),
    [
        (throttle.ADDRESS, 30, 15),
        (throttle.NAME_AT_ADDRESS, 5, 15),
        (throttle.NAME, 50, 15),
        (throttle.DEVICE, 10, 15),
        (throttle.THROTTLED_ENTRIES, 1, 15),
        (throttle.SIGN_UP, 10, 60),
        (throttle.UNKNOWN_NAMES, 30, 15),
        (throttle.PASSWORD, 10, 15),
        (throttle.CODE, 10, 15),
        (throttle.CODE_DEVICE, 10, 15),
        (throttle.LONG_CODE, 30, 15),
        (api.REQUESTS, 600, 1),
        (api.REFUSED, 60, 1),
        (doors._TRIPS, 60, 10),
        (passkey_views._OFFERS, 60, 15),
        (steam._RETURNS, 20, 10),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_limit_is_as_wide_as_people_need_and_no_wider(limit: throttle.Limit, most: int, minutes: int):
    assert (limit.most, limit.seconds) == (most, minutes * 60)


def test_what_one_user_can_have():
    assert (actions.MOST_TOKENS, factor_actions.MOST_PASSKEYS, filters.MOST) == (100, 20, 30)


def test_doors_are_limited_by_address(client, db, settings, monkeypatch):
    settings.LEFT4ME_STEAM_SIGN_IN = True
    monkeypatch.setattr(doors, "_TRIPS", throttle.Limit("trips-test", 2, 60))
    assert [client.get("/accounts/doors/steam/begin").status_code for _ in range(3)] == [302, 302, 429]
    assert client.get("/accounts/doors/steam/return", REMOTE_ADDR="192.0.2.9").status_code == 302
    assert client.get("/accounts/doors/nowhere/begin", REMOTE_ADDR="192.0.2.9").status_code == 404


def test_offers_of_passkeys_are_limited_by_address(client, db, monkeypatch):
    monkeypatch.setattr(passkey_views, "_OFFERS", throttle.Limit("offers-test", 2, 60))
    answers = [client.post(f"/accounts/passkeys/{kind}/").status_code for kind in ("any", "own", "any")]
    assert answers == [200, 302, 429]


def test_the_migrations_make_the_models_that_there_are(db):
    call_command("makemigrations", "accounts", check=True, dry_run=True, verbosity=0)

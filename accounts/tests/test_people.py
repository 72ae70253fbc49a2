"""What admins do with users."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import auth
from accounts.models import OneTimeLink, Session, User
from accounts.tests.factories import make_passkey, make_token
from left4me.audit.models import AuditEntry

FRESH = "another horse battery"


def act(client, user, what, **fields):
    return client.post(f"/users/{user.pk}/{what}", fields)


def link_in(answer) -> str:
    return answer.context["link"].removeprefix("http://testserver")


@pytest.mark.parametrize("page", ["users", "users/new", "users/invitations"])
def test_pages_are_for_admins(anna_client, ada_client, page):
    assert ada_client.get(f"/{page}").status_code == 200
    assert anna_client.get(f"/{page}").status_code == 403


@pytest.mark.parametrize("what", ["admin", "active", "password-link"])
def test_acts_are_for_admins(anna_client, stan, what):
    assert act(anna_client, stan, what, is_admin="yes", is_active="no").status_code == 403
    stan.refresh_from_db()
    assert (stan.is_admin, stan.is_active) == (False, True)


def test_users_are_found_by_name(ada_client, anna, stan):
    assert [row.username for row in ada_client.get("/users", {"q": "STA"}).context["page"]] == ["stan"]
    assert len(ada_client.get("/users").context["page"]) == 5
    assert ada_client.get("/users", {"q": "\0"}).status_code == 400


def test_the_list_costs_the_same_for_many(ada_client, cast, django_assert_max_num_queries):
    User.objects.bulk_create(User(username=f"user{n}") for n in range(60))
    with django_assert_max_num_queries(6):
        assert len(ada_client.get("/users").context["page"]) == 50


def test_somebody_becomes_admin_and_no_admin_any_more(ada_client, anna):
    for is_admin in (True, True, False, False):
        act(ada_client, anna, "admin", is_admin="yes" if is_admin else "no")
        anna.refresh_from_db()
        assert anna.is_admin == is_admin


@pytest.mark.parametrize(("what", "fields"), [("admin", {"is_admin": "no"}), ("active", {"is_active": "no"})])
def test_the_last_admin_stays(ada, ada_client, what, fields):
    User.objects.create_user("gone", is_admin=True, is_active=False)
    answer = act(ada_client, ada, what, **fields)
    assert answer["Location"] == "/users"
    assert "last admin" in ada_client.get("/users").content.decode()
    ada.refresh_from_db()
    assert ada.is_admin
    assert ada.is_active


def test_deactivating_ends_sessions_tokens_and_links(ada_client, anna, anna_client):
    key, session = make_token(anna), anna_client.cookies["sessionid"].value
    link = link_in(act(ada_client, anna, "password-link"))
    act(ada_client, anna, "active", is_active="no")
    assert anna_client.get("/").status_code == 302
    assert auth.user_from_session(session) is None
    assert auth.user_from_token(key) is None
    assert Client().get(link).status_code == 404
    assert not anna.sessions.exists()


def test_a_user_who_is_active_again_may_sign_in(ada_client, anna):
    for is_active in ("no", "yes"):
        act(ada_client, anna, "active", is_active=is_active)
    anna.refresh_from_db()
    assert anna.is_active


def test_a_password_link_sets_the_password_once_and_ends_sessions(ada_client, anna, anna_client, client):
    link = link_in(act(ada_client, anna, "password-link"))
    assert "anna" in client.get(link).content.decode()
    assert client.post(link, {"password": "short"}).status_code == 422
    assert client.post(link, {"password": FRESH})["Location"] == "/accounts/login/"
    assert client.post(link, {"password": "a third horse battery"}).status_code == 404
    anna.refresh_from_db()
    assert anna.check_password(FRESH)
    assert anna_client.get("/").status_code == 302


def test_a_second_password_link_replaces_the_first(ada_client, anna, client):
    first, second = [link_in(act(ada_client, anna, "password-link")) for _ in range(2)]
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200


def test_a_new_user_gets_a_link_and_no_password(ada_client, client):
    answer = ada_client.post("/users/new", {"username": "zoey"})
    user = User.objects.get(username="zoey")
    assert not user.has_usable_password()
    assert client.post(link_in(answer), {"password": FRESH}).status_code == 302
    user.refresh_from_db()
    assert user.check_password(FRESH)


def test_a_name_is_taken_in_any_case(ada_client, anna):
    answer = ada_client.post("/users/new", {"username": "ANNA"})
    assert answer.status_code == 422
    assert "taken" in answer.content.decode()
    assert not OneTimeLink.objects.exists()


def test_acts_are_on_record_under_the_admin_s_name(ada_client, anna):
    act(ada_client, anna, "admin", is_admin="yes")
    act(ada_client, anna, "password-link")
    act(ada_client, anna, "active", is_active="no")
    rows = AuditEntry.objects.order_by("id").values_list("actor", "action", "target")
    assert list(rows) == [
        ("ada", "user.promote", f"user:{anna.pk}"),
        ("ada", "user.password_link", f"user:{anna.pk}"),
        ("ada", "user.deactivate", f"user:{anna.pk}"),
    ]


@pytest.mark.parametrize("model", ["user", "apitoken", "session", "onetimelink"])
def test_django_s_admin_shows_the_rows(ada_client, anna, model):
    make_token(anna)
    assert ada_client.get(f"/admin/accounts/{model}/").status_code == 200


def test_django_s_admin_is_for_admins_and_has_no_door_of_its_own(anna_client, client):
    assert anna_client.get("/admin/", follow=True).status_code == 403
    assert client.get("/admin/login/")["Location"].startswith("/accounts/login/")
    assert client.post("/admin/login/", {"username": "ada"}).status_code == 302


def test_django_s_admin_keeps_the_rules_of_the_users_page(ada, ada_client, anna, anna_client):
    page = f"/admin/accounts/user/{anna.pk}/change/"
    assert ada_client.get(page).status_code == 200
    ada_client.post(page, {"username": "anna", "is_admin": "", "is_active": ""})
    anna.refresh_from_db()
    assert not anna.is_active
    assert not anna.sessions.exists()
    ada_client.post(f"/admin/accounts/user/{ada.pk}/change/", {"username": "ada", "is_active": "on"})
    ada.refresh_from_db()
    assert ada.is_admin
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"user.change", "user.deactivate"} <= actions


def test_django_s_admin_cannot_touch_the_record(ada_client, anna):
    make_token(anna)
    entry = AuditEntry.objects.first()
    assert ada_client.get("/admin/audit/auditentry/").status_code == 200
    assert ada_client.post(f"/admin/audit/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ada_client.get("/admin/audit/auditentry/add/").status_code == 403


def test_no_invitation_is_offered_while_sign_up_is_closed(ada_client, settings):
    settings.LEFT4ME_SIGNUP = "closed"
    page = ada_client.get("/users/invitations").content.decode()
    assert "LEFT4ME_SIGNUP=invite" in page and "Create link" not in page
    settings.LEFT4ME_SIGNUP = "invite"
    assert "Create link" in ada_client.get("/users/invitations").content.decode()


def test_django_s_admin_adds_users_without_a_password(ada_client):
    answer = ada_client.post("/admin/accounts/user/add/", {"username": "zoey", "is_active": "on"})
    assert answer.status_code == 302
    user = User.objects.get(username="zoey")
    assert not user.has_usable_password() and user.is_active and not user.is_admin
    ada_client.post("/admin/accounts/user/add/", {"username": "boss", "is_active": "on", "is_admin": "on"})
    assert User.objects.get(username="boss").is_admin


def test_django_s_admin_promotes_and_renames_by_the_rules(ada_client, anna):
    page = f"/admin/accounts/user/{anna.pk}/change/"
    ada_client.post(page, {"username": "annika", "is_admin": "on", "is_active": "on"})
    anna.refresh_from_db()
    assert (anna.username, anna.is_admin, anna.is_active) == ("annika", True, True)
    found = AuditEntry.objects.filter(action__in=["user.promote", "user.activate", "user.deactivate"])
    assert [entry.action for entry in found] == ["user.promote"]


def test_django_s_admin_deletes_others_and_not_oneself(ada, ada_client, anna, stan):
    page = ada_client.post(f"/admin/accounts/user/{ada.pk}/delete/", {"post": "yes"}, follow=True)
    assert "You can&#x27;t delete your own account." in page.content.decode()
    chosen = {"action": "delete_selected", "_selected_action": [ada.pk, anna.pk], "post": "yes"}
    ada_client.post("/admin/accounts/user/", chosen)
    ada_client.post(f"/admin/accounts/user/{stan.pk}/delete/", {"post": "yes"})
    assert set(User.objects.values_list("username", flat=True)) == {"ada", "otto", "vera"}


@pytest.mark.parametrize(
    "model", ["apitoken", "session", "onetimelink", "authenticatorapp", "recoverycode", "passkey"]
)
def test_django_s_admin_adds_and_changes_no_secret(ada_client, model):
    assert ada_client.get(f"/admin/accounts/{model}/add/").status_code == 403
    assert ada_client.get(f"/admin/accounts/{model}/").status_code == 200


def test_django_s_admin_revokes_tokens_and_keeps_factors(ada_client, anna):
    make_token(anna)
    passkey = make_passkey(anna)
    token = anna.api_tokens.get()
    assert ada_client.post(f"/admin/accounts/apitoken/{token.pk}/delete/", {"post": "yes"}).status_code == 302
    assert ada_client.post(f"/admin/accounts/passkey/{passkey.pk}/delete/", {"post": "yes"}).status_code == 403
    assert (anna.api_tokens.count(), anna.passkeys.count()) == (0, 1)


def test_the_list_of_users_counts_live_sessions(ada_client, anna, anna_client):
    anna_client.get("/")
    Session.objects.create(digest="x", data="", user=anna, expires_at=timezone.now() - timedelta(seconds=1))
    rows = {row.username: row.session_count for row in ada_client.get("/users").context["page"]}
    assert (rows["anna"], rows["stan"], rows["ada"]) == (1, 0, 1)


def test_an_invitation_that_was_used_cannot_be_revoked(ada_client, ada):
    link = OneTimeLink.objects.create(
        purpose="invitation", digest="x", created_by=ada, expires_at=timezone.now(), used_at=timezone.now()
    )
    assert ada_client.post(f"/users/invitations/{link.pk}/revoke").status_code == 404
    OneTimeLink.objects.update(used_at=None)
    assert ada_client.post(f"/users/invitations/{link.pk}/revoke").status_code == 302
    assert AuditEntry.objects.filter(action="invitation.revoke").exists()


def test_a_deactivated_user_gets_no_link(ada_client, anna):
    anna.is_active = False
    anna.save()
    assert act(ada_client, anna, "password-link").status_code == 404
